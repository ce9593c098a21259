"""Logs: one event per line, JSON for machines or text for people, never a payload.

log = logs.get(__name__)
log.info("Partition restored", partition=3, rows=1_000_000)
"""

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

from streams.printable import printable, printable_lines

_FIELDS: Final = "countermand_fields"
_TEXT_CHARS: Final = 512
_ID_BYTES: Final = 16
_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


class Log:
    """A logger whose lines are a sentence (the event) and fields."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        """Write to the standard library's `logger`."""
        self._logger = logger

    def debug(self, event: str, /, **fields: object) -> None:
        """Log what only developers want to know."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Log what operators may want to know."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Log what operators should look at."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Log what operators must repair."""
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """Log an error with the traceback of the exception in hand."""
        self._write(logging.ERROR, event, fields, traceback=True)

    def _write(
        self, level: int, event: str, fields: Mapping[str, object], *, traceback: bool = False
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(
                level, "%s", event, extra={_FIELDS: fields}, exc_info=traceback, stacklevel=3
            )


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, logger, event, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line of a record."""
        line: dict[str, Any] = {
            "ts": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _encodable(record.getMessage()),
        }
        line |= {name: _encodable(_safe(value)) for name, value in _fields(record).items()}
        if record.exc_info:
            line["traceback"] = _encodable(self.formatException(record.exc_info))
        return printable(orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode())


class ConsoleFormatter(logging.Formatter):
    """A line for people: time, level, event, then the fields; a traceback is indented below."""

    def __init__(self, *, colour: bool) -> None:
        """Lines with terminal colours, or without."""
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Give the line of a record."""
        level = f"{record.levelname.lower():<7}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
        fields = "".join(f" {name}={_safe(value)}" for name, value in _fields(record).items())
        line = f"{_time(record):%H:%M:%S.%f}"[:-3]
        line += f" {level} {printable(record.getMessage() + fields)}"
        if record.exc_info:
            # Indented, so that no line of an error's text can be taken for one of the log.
            traceback = printable_lines(self.formatException(record.exc_info))
            line += "\n  " + traceback.replace("\n", "\n  ")
        return line


class Limiter:
    """Admits one line per key and interval, and counts the lines between.

    At most `keys` keys are remembered; the key admitted longest ago is forgotten first.
    """

    def __init__(
        self,
        seconds: float = 60,
        *,
        keys: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Admit one line per key and `seconds`; `clock` gives monotonic seconds."""
        self._seconds = seconds
        self._keys = keys
        self._clock = clock
        self._last: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def admit(self, key: Hashable) -> int | None:
        """Give None where the line is to be left out, else how many were since the last line."""
        now = self._clock()
        last, left_out = self._last.get(key, (None, 0))
        if last is not None and now - last < self._seconds:
            self._last[key] = (last, left_out + 1)
            return None
        self._last[key] = (now, 0)
        self._last.move_to_end(key)
        if len(self._last) > self._keys:
            self._last.popitem(last=False)
        return left_out


def get(name: str) -> Log:
    """Give the log of a module: `get(__name__)`."""
    return Log(logging.getLogger(name))


class FieldsAdapter(logging.LoggerAdapter[logging.Logger]):
    """A standard logger that adds fields to its lines, for libraries that log."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Add the fields to a line, where `Log` puts its own."""
        return msg, {**kwargs, "extra": {_FIELDS: self.extra} | kwargs.get("extra", {})}


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send the log lines of the process to `stream` (stdout if None).

    These are Countermand's own lines from `level` on, and the libraries' warnings and errors: at
    lower levels some libraries print what records hold.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        form: `json`, `console`, or `auto`: text on a terminal, JSON elsewhere.
        stream: Where the lines go.
    """
    stream = sys.stdout if stream is None else stream
    terminal = stream.isatty()
    text = form == "console" or (form == "auto" and terminal)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ConsoleFormatter(colour=terminal) if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for package in ("streams", "topology"):
        logging.getLogger(package).setLevel(level.upper())


def _encodable(value: object) -> object:
    """Replace a text's lone surrogates: an error's message may have them, UTF-8 can't."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields: Mapping[str, object] = getattr(record, _FIELDS, {})
    return fields


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _safe(value: object) -> object:
    """Give a value as it may be logged: ids as hex; long bytes and texts may be payloads."""
    if isinstance(value, bytes):
        return value.hex() if len(value) <= _ID_BYTES else f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > _TEXT_CHARS:
        return f"{value[:_TEXT_CHARS]}… ({len(value)} characters)"
    return value
