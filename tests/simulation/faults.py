"""What goes wrong, drawn from one seed."""

from collections import Counter
from random import Random


class Crash(BaseException):
    """A process died at a named step: no handler of errors runs any more."""


class Faults:
    """Decides by chance what fails; `happened` counts it by name."""

    def __init__(self, random: Random, rate: float) -> None:
        """Let each chance of a fault come true at `rate`."""
        self.random = random
        self.rate = rate
        self.happened: Counter[str] = Counter()

    def stop(self) -> None:
        """Let nothing fail any more."""
        self.rate = 0

    def happens(self, name: str, factor: float = 1) -> bool:
        """Whether a fault comes true now."""
        if self.random.random() >= self.rate * factor:
            return False
        self.happened[name] += 1
        return True

    def crash_at(self, step: str) -> None:
        """Perhaps die here."""
        if self.happens(step):
            raise Crash(step)
