"""Whether a process is live and ready, asked of named checks.

"Live" tells whether a restart would help: only a `StallCheck` fails it, never a rebalance or a slow
broker. "Ready" tells whether the process does its work now.
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
    """The questions that an orchestrator asks."""

    LIVE = "live"
    READY = "ready"


@dataclass(frozen=True)
class Answer:
    """The answer to a question: all checks by name, and the problem of each that fails."""

    kind: Kind
    checks: tuple[str, ...]
    failing: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether no check fails."""
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
    """The checks of a process. A check returns its problem as a text, or None."""

    def __init__(self) -> None:
        """A process without checks is live and ready."""
        self._checks: dict[Kind, dict[str, Check]] = {kind: {} for kind in Kind}

    def add(self, kind: Kind, name: str, check: Check) -> None:
        """Ask `check` whenever `kind` is asked; it replaces the check of the same name."""
        self._checks[kind][name] = check

    def answer(self, kind: Kind) -> Answer:
        """Ask all checks of a kind; a check that raises has failed."""
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
    """A check for `Kind.LIVE`: fails where a partition with a backlog makes no progress.

    A partition (the key) stalls while it lags and its position doesn't change. The time between
    `pause` and `resume` doesn't count: a rebalance or a restore goes on.
    """

    stall_seconds: float
    clock: Callable[[], float] = time.monotonic
    _watches: dict[Hashable, _Watch] = field(default_factory=dict)
    _paused: bool = False

    def seen(self, key: Hashable, position: int, lag: int) -> None:
        """Note the position of `key`, and the number of records that it hasn't processed."""
        watch = self._watches.setdefault(key, _Watch(position))
        if lag <= 0 or watch.position != position or self._paused:
            watch.stuck_since = None
        elif watch.stuck_since is None:
            watch.stuck_since = self.clock()
        watch.position = position

    def forget(self, key: Hashable) -> None:
        """Stop to watch a key: another process owns its partition now."""
        self._watches.pop(key, None)

    def pause(self) -> None:
        """A rebalance or restore begins, in which no partition makes progress."""
        self._paused = True
        for watch in self._watches.values():
            watch.stuck_since = None

    def resume(self) -> None:
        """The rebalance or restore has ended: each partition's time starts anew."""
        self._paused = False

    def __call__(self) -> str | None:
        """The first partition that has stalled for too long, as a text; None if there is none."""
        now = self.clock()
        for key, watch in list(self._watches.items()):
            since = watch.stuck_since
            if since is not None and now - since > self.stall_seconds:
                return f"{key} stands still at {watch.position} under lag for {now - since:.0f} s"
        return None


def _asked(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # a broken check fails, and the page is still served
        return f"{type(error).__name__}: {error}"
