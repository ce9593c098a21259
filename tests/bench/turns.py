"""Contestants by turns: a machine's speed changes from minute to minute, ratios of a round less."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

T = TypeVar("T")


def orders(names: Sequence[str], rounds: int) -> list[list[str]]:
    """The order of each round: another one goes first, and every second round goes backwards."""
    found = []
    for number in range(rounds):
        first = number % len(names)
        order = [*names[first:], *names[:first]]
        found.append(order[::-1] if number % 2 else order)
    return found


def by_turns(contestants: Mapping[str, Callable[[], T | None]], rounds: int) -> dict[str, list[T]]:
    """What each contestant found in each round; nothing of one that can't run here."""
    found: dict[str, list[T]] = {name: [] for name in contestants}
    for order in orders(list(contestants), rounds):
        for name in order:
            result = contestants[name]()
            if result is not None:
                found[name].append(result)
    return {name: results for name, results in found.items() if results}


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios that two contestants had in the same rounds."""
    return round(median(a / b for a, b in zip(one, other, strict=True)), 2)
