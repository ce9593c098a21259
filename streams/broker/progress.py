"""Tell a person how far the download is: a bar on a terminal, plain lines elsewhere."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

Advance = Callable[[int], None]
_MEBIBYTE = 1 << 20
_PLAIN_STEP_PERCENT = 25


@contextmanager
def report_to_stderr(title: str, total_bytes: int) -> Iterator[Advance]:
    """Report a download of `total_bytes`; call the yielded function with each chunk's size."""
    report = _bar if sys.stderr.isatty() else _lines
    with report(title, total_bytes) as advance:
        yield advance


@contextmanager
def _bar(title: str, total_bytes: int) -> Iterator[Advance]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, TransferSpeedColumn(), console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task(title, total=total_bytes)
        yield lambda count: bar.update(task, advance=count)


@contextmanager
def _lines(title: str, total_bytes: int) -> Iterator[Advance]:
    say(f"{title}: {total_bytes / _MEBIBYTE:.0f} MiB")
    lock = threading.Lock()
    done = 0
    next_percent = _PLAIN_STEP_PERCENT

    def advance(count: int) -> None:
        nonlocal done, next_percent
        with lock:
            done += count
            percent = 100 * done // max(total_bytes, 1)
            if percent >= next_percent:
                say(f"{title}: {percent} %")
                next_percent = percent - percent % _PLAIN_STEP_PERCENT + _PLAIN_STEP_PERCENT

    yield advance


def say(line: str) -> None:
    """Write one line for a person to standard error, which scripts do not parse."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
