"""Whether a process is live and ready: named checks, without a clock or a web framework of its own.

Live answers "would a restart help": only `StallCheck` fails it, never a rebalance or a slow broker.
Ready answers "does it do its work now".
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

import orjson

Check: TypeAlias = Callable[[], str | None]
OK: Final = 200
UNAVAILABLE: Final = 503


class Kind(StrEnum):
    """The two questions that an orchestrator asks."""

    LIVE = "live"
    READY = "ready"


@dataclass(frozen=True)
class Answer:
    """The answer to one question: what fails, by the name of its check."""

    kind: Kind
    checks: tuple[str, ...]
    failing: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether nothing fails."""
        return not self.failing

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return OK if self.ok else UNAVAILABLE

    def body(self) -> bytes:
        """The answer as JSON."""
        checks = {name: self.failing.get(name, "ok") for name in self.checks}
        return orjson.dumps({"status": "ok" if self.ok else "failing", "checks": checks})


class Health:
    """The checks of one process. A check returns what is wrong, or None."""

    def __init__(self) -> None:
        """A process without checks is live and ready."""
        self._checks: dict[Kind, dict[str, Check]] = {kind: {} for kind in Kind}

    def add(self, kind: Kind, name: str, check: Check) -> None:
        """Ask `check` for every answer to `kind`; another one of that name is replaced."""
        self._checks[kind][name] = check

    def answer(self, kind: Kind) -> Answer:
        """Ask every check of one kind; one that raises has failed."""
        checks = dict(self._checks[kind])
        answers = {name: _asked(check) for name, check in checks.items()}
        failing = {name: answer for name, answer in answers.items() if answer is not None}
        return Answer(kind, tuple(checks), failing)


def health_page(health: Health, kind: str) -> tuple[int, bytes]:
    """The status and JSON body of `/healthz/<kind>`."""
    answer = health.answer(Kind(kind))
    return answer.status, answer.body()


@dataclass
class _Watch:
    position: int
    stuck_since: float | None = None


@dataclass
class StallCheck:
    """Whether work moves: a check for `Kind.LIVE`.

    Each key (a partition) stands still only while it lags, isn't paused, and its position doesn't
    change. Time in a rebalance or a restore doesn't count: `pause` and `resume` say so.
    """

    stall_seconds: float
    clock: Callable[[], float] = time.monotonic
    _watches: dict[Hashable, _Watch] = field(default_factory=dict)
    _paused: bool = False

    def seen(self, key: Hashable, position: int, lag: int) -> None:
        """Note how far `key` is, and how much of its input waits."""
        watch = self._watches.setdefault(key, _Watch(position))
        if lag <= 0 or watch.position != position or self._paused:
            watch.stuck_since = None
        elif watch.stuck_since is None:
            watch.stuck_since = self.clock()
        watch.position = position

    def forget(self, key: Hashable) -> None:
        """Watch a key no more: its partition went elsewhere."""
        self._watches.pop(key, None)

    def pause(self) -> None:
        """A rebalance or restore began: standing still is what it should do."""
        self._paused = True
        for watch in self._watches.values():
            watch.stuck_since = None

    def resume(self) -> None:
        """The rebalance or restore ended: the time that is allowed starts anew."""
        self._paused = False

    def __call__(self) -> str | None:
        """What stands still for too long, and since when."""
        now = self.clock()
        for key, watch in list(self._watches.items()):
            since = watch.stuck_since
            if since is not None and now - since > self.stall_seconds:
                return f"{key} stands still at {watch.position} under lag for {now - since:.0f} s"
        return None


def _asked(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # a broken check must fail its own name, not the page
        return f"{type(error).__name__}: {error}"
