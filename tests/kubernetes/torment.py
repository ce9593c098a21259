"""Faults of an installation while events come in, and what is counted after each."""

import threading
from collections.abc import Callable
from itertools import pairwise
from time import monotonic
from typing import Final, NamedTuple

from streams.functions.definition import read_text
from streams.functions.writer import apply_functions
from streams.kafka import clients
from streams.settings import Settings
from tests.chaos.audit import Audit, Findings, Wanted
from tests.chaos.load import Load
from tests.chaos.traffic import FUNCTIONS
from tests.chaos.worker import Worker
from tests.kubernetes.caller import Caller, Calls
from tests.kubernetes.gaps import Gap, Observer, longest
from tests.support.watch import Watch
from topology import topics

RECORDS_PER_S: Final = 500
# Of load before a fault, so that each partition is at work, and after it.
_AROUND_S: Final = 4
_KINDS: Final = ("missing", "duplicate", "extra", "wrong_runs")


class Fault(NamedTuple):
    """Something that is done; it returns when all is as it should be again.

    Attributes:
        name: What it is called in the result.
        do: Does it.
        goal_s: The longest gap that it should make; None where none is promised.
    """

    name: str
    do: Callable[[], None]
    goal_s: float | None = None


class Outcome(NamedTuple):
    """What was counted after a fault, of all that was sent until then, and the longest gap of it.

    Attributes:
        calls: Of the API's Service, by somebody who calls it all the time.
        seconds: How long the load, the rest of the work, and the count took.
    """

    goal: Wanted
    findings: Findings
    gap: Gap
    calls: Calls
    seconds: tuple[float, float, float]

    def line(self, fault: Fault) -> str:
        """One for people."""
        wrong = ", ".join(f"{kind} {len(getattr(self.findings, kind))}" for kind in _KINDS)
        took = " + ".join(f"{one:.0f}" for one in self.seconds)
        gap = f"longest gap {self.gap.seconds:.1f} s in {self.gap.place[0]}/{self.gap.place[1]}"
        if fault.goal_s is not None and self.gap.seconds > fault.goal_s:
            gap += f", MORE THAN ITS GOAL of {fault.goal_s:g} s"
        calls = f"{self.calls.failed} of {self.calls.all} calls of the API failed"
        counted = f"of {len(self.goal.cancelled)} {wrong}"
        return f"{fault.name}: {gap}; {counted}; {calls}; took {took} s"


class Torment:
    """Load, readers of what comes out, a worker of the load's functions, and a caller."""

    def __init__(self, settings: Settings, api_url: str, seed: int) -> None:
        """Connect, and apply the functions of the load."""
        functions = settings.topic(topics.FUNCTIONS)
        apply_functions(clients.librdkafka(settings), functions, read_text(FUNCTIONS))
        self._load = Load(settings, seed, RECORDS_PER_S)
        self._watch = Watch(settings)
        self._audit = Audit(self._watch, settings.topic_prefix)
        self._observer = Observer(settings)
        self._worker = Worker(settings)
        self._caller = Caller(api_url)
        self._pause = threading.Event()

    def close(self) -> None:
        """End all of it."""
        self._caller.close()
        self._worker.stop()
        self._observer.close()
        self._watch.close()

    def suffer(self, fault: Fault) -> Outcome:
        """Do one thing under load, wait until all that was sent has had its effect, and count."""
        self._caller.calls()
        times = [monotonic()]
        self._load.start()
        try:
            self._pause.wait(_AROUND_S)
            fault.do()
            self._pause.wait(_AROUND_S)
        finally:
            self._load.finish()
        calls = self._caller.calls()
        times.append(monotonic())
        goal = self._audit.settle(lambda: None)
        times.append(monotonic())
        findings = self._audit.check(goal)
        gap = longest(self._observer.answers(goal.events))
        times.append(monotonic())
        loaded, settled, counted = (end - start for start, end in pairwise(times))
        return Outcome(goal, findings, gap, calls, (loaded, settled, counted))
