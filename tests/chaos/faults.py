"""What is done to the processes and to the broker, at random from a seed."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from time import monotonic
from typing import Final

from streams.broker.local import LocalBroker
from tests.chaos.fleet import Fleet
from tests.support.deadline import eventually
from tests.support.services import ROUTER, Service
from tests.support.watch import Watch

_OWNS_WITHIN_S: Final = 60
_CAUGHT_WITHIN_S: Final = 5
_TAKEN_WITHIN_S: Final = 120
# Of the faults that nobody asked for by number.
_MIX: Final = ("kill joiner", "kill joiner", "kill router", "pause joiner", "pause router")

Say = Callable[[str], None]


class Faults:
    """Does one fault after the other, and counts what it could show to have hit."""

    def __init__(
        self, fleet: Fleet, broker: LocalBroker, watch: Watch, seed: int, say: Say
    ) -> None:
        self.happened: Counter[str] = Counter()
        self._fleet = fleet
        self._broker = broker
        self._watch = watch
        self._rng = Random(seed)
        self._say = say
        self._pause = threading.Event()

    def run(self, seconds: float, minima: Mapping[str, int], most_s: float) -> None:
        """Go on for so long, and until the minima are reached; at most for `most_s`."""
        started = monotonic()
        plan = self._plan(minima)
        while monotonic() - started < most_s:
            wanted = [name for name, number in minima.items() if self.happened[name] < number]
            if not wanted and monotonic() - started >= seconds:
                return
            self._wait(self._rng.uniform(0.5, 3))
            self._fleet.look_after()
            self._do(plan.pop() if plan else self._next(wanted))

    def _plan(self, minima: Mapping[str, int]) -> list[str]:
        """At least what is asked for, in any order; a broker that is away is not the first."""
        kills = minima["kills_with_work"]
        plan = ["kill joiner"] * (kills - kills // 3) + ["kill router"] * (kills // 3)
        plan += ["zombie joiner"] * minima["zombies"] + ["pause joiner", "pause router"]
        self._rng.shuffle(plan)
        place = self._rng.randrange(len(plan) // 2, len(plan))
        return [*plan[:place], *["broker"] * minima["broker_restarts"], *plan[place:]][::-1]

    def _next(self, wanted: list[str]) -> str:
        by_name = {"zombies": "zombie joiner", "broker_restarts": "broker"}
        return next((by_name[name] for name in wanted if name in by_name), self._rng.choice(_MIX))

    def _do(self, fault: str) -> None:
        what, _, role = fault.partition(" ")
        if what == "broker":
            self._restart_broker()
            return
        victim = self._rng.choice(list(self._fleet.of(role)))
        try:
            match what:
                case "kill":
                    self._kill(victim)
                case "pause":
                    self._freeze(victim)
                case "zombie":
                    self._make_zombie(victim)
        except ProcessLookupError:  # counted as an exit; `Fleet.look_after` starts it again
            self._say(f"{victim.name} has just ended by itself")

    def _kill(self, victim: Service) -> None:
        """Freeze it in the middle of something, show that it is, and kill it there."""
        open_work = self._catch(victim)
        victim.kill_paused()
        self.happened["kills"] += 1
        self.happened["kills_with_work"] += open_work > 0
        self._say(f"kill -9 {victim.name}, {open_work} records in flight")
        self._wait(self._rng.choice((0, self._rng.uniform(0, 4))))
        victim.start()

    def _catch(self, victim: Service) -> int:
        """Freeze a process that works on something, if there is one soon; how much it works on."""
        if not self._await(lambda: bool(victim.owned()), _OWNS_WITHIN_S):
            victim.pause()
            return 0
        end = monotonic() + _CAUGHT_WITHIN_S
        while True:
            owned = victim.owned()
            places = owned if victim.role == ROUTER else self._commands(owned)
            before = self._watch.ends(places)
            victim.pause()
            # What had come before it was frozen, and is not committed now, is in flight.
            routing = victim.role == ROUTER
            count = self._watch.open_routing if routing else self._watch.open_commands
            found = count(before)
            if found or monotonic() > end:
                return found
            victim.resume()
            self._wait(self._rng.uniform(0, 0.2))

    def _commands(self, owned: set[tuple[str, int]]) -> set[tuple[str, int]]:
        return self._watch.commands({partition for _, partition in owned})

    def _freeze(self, victim: Service) -> None:
        """A stall that its group doesn't notice."""
        seconds = self._rng.uniform(0.3, 3)
        victim.pause()
        self.happened["pauses"] += 1
        self._say(f"stop {victim.name} for {seconds:.1f} s")
        self._wait(seconds)
        victim.resume()

    def _make_zombie(self, victim: Service) -> None:
        """A stall until another process has everything; then it goes on, and doesn't know."""
        other = self._fleet.other(victim)
        self._await(lambda: bool(victim.owned()) and bool(other.owned()), _OWNS_WITHIN_S)
        open_work = self._catch(victim)
        self._say(f"stop {victim.name} until {other.name} has everything, {open_work} in flight")
        everything = set(self._watch.partitions)

        def taken() -> bool:
            other.look_after()
            return {number for _, number in other.owned()} == everything and other.is_ready

        done = self._await(taken, _TAKEN_WITHIN_S)
        self.happened["zombies"] += done
        victim.resume()
        self._say(f"continue {victim.name}: {'a zombie' if done else 'not taken over in time'}")

    def _restart_broker(self) -> None:
        self._say("kill -9 the broker")
        self._broker.kill()
        self._wait(self._rng.uniform(0, 2))
        self._broker.start()
        self.happened["broker_restarts"] += 1
        self._say("the broker is back")

    def _await(self, look: Callable[[], bool], within_s: float) -> bool:
        try:
            return eventually(look, within_s)
        except AssertionError:
            return False

    def _wait(self, seconds: float) -> None:
        self._pause.wait(seconds)
