"""What one evaluation may take (S37): a table of weights, and the meter that charges them.

A unit is about a nanosecond of the machine of the benchmarks; `make bench ONLY=budget` compares the
weights with the time that evaluations take. What an evaluation makes weighs so much that at most
some 8 MiB of new values fit into a budget. Everything that depends on the events' data is charged
before it is done, so an evaluation that is too expensive ends before it takes its time; the rest is
bounded by the limit of nodes and charged when the evaluation begins.
"""

import math
from typing import Final, NamedTuple

from streams.errors import BudgetError
from streams.matching import limits
from streams.matching.nodes import Binary, Call, ListNode, Literal, Macro, MapNode, Node, Reference

# One node of the syntax tree, and one segment of a path.
STEP: Final = 100
# One item of a list that a macro walks, besides the nodes of its body.
ITEM: Final = 150
# Two values that `==` or `in` compare, and a character of two texts of one length. Two lists or two
# maps weigh as much as some values more.
COMPARED: Final = 160
COMPARED_CONTAINER: Final = 5
COMPARED_CHAR: Final = 0.06
COMPARED_WIDE_CHAR: Final = 0.6
# A string that `in` looks for in a list, per item.
SOUGHT: Final = 20
# A part of an expression without an answer, where `&&`, `||` or a macro goes on behind it.
ERROR: Final = 2_000
# A number, an item of a list, a member of a map, and a character of a text that are made.
MADE_NUMBER: Final = 80
MADE_ITEM: Final = 20
MADE_MEMBER: Final = 250
MADE_CHAR: Final = 10
# A list or a map that is made, besides what is in it, and a part of a text besides its characters.
MADE_CONTAINER: Final = 150
MADE_TEXT: Final = 120
# A character of a text that is searched or converted.
READ_CHAR: Final = 3
# A pair of characters that the search of a text in a short text may compare.
SEARCHED_PAIR: Final = 0.25
# A function that looks for parts of a text, takes or joins them, besides what it reads and makes; a
# part that is found again and again; and an item that `join` looks at.
PARTS: Final = 200
FOUND: Final = 40
JOINED: Final = 80
# A double that is written out.
WRITTEN_DOUBLE: Final = 2_000
# A search by a pattern; and each instruction of its program, for each character that it reads, and
# once where the program is so large that it may have to be made again.
PATTERN: Final = 2_500
PATTERN_CHAR: Final = 2
PATTERN_MADE: Final = 500
# The same, each time, of a pattern that comes with an event, for which RE2 has less memory. And for
# compiling it: a character, a class of Unicode's such as \pL, a byte that RE2 may use.
GIVEN_PATTERN_CHAR: Final = 4
GIVEN_PATTERN_READ: Final = 2_000
GIVEN_PATTERN_CLASS: Final = 130_000
GIVEN_PATTERN_BYTE: Final = 8
# A value of an event that is converted for celpy, and how much more anything weighs there.
CONVERTED: Final = 1_500
REFERENCE: Final = 120
REFERENCE_MADE: Final = 4
# Looking up a time zone that an event names: as much as so many steps.
ZONE_STEPS: Final = 15

# Where CPython 3.11 changes its way of searching (Objects/stringlib/fastsearch.h).
_SHORT_TEXT: Final = 2_500
_LONG_TEXT: Final = 30_000
_SHORT_PART: Final = 100

# How much less time weighs for the first list that an evaluation walks.
_FIRST_WALK: Final = 5


class Cost(NamedTuple):
    """What a part of an expression takes at least: for its `time`, and for what it `made`."""

    time: int
    made: int = 0


class Meter:
    """Counts what evaluations take, and ends those that take too much.

    One meter may count many evaluations, of one transaction for instance: each has a budget of
    its own, and all together have `total`, if given. The first list that an evaluation walks
    weighs less, so that a rule may look once at each item of the largest event.

    Charges are whole units: where an evaluation ends must not depend on what was counted before,
    as with sums of fractions.

    Attributes:
        spent: What all evaluations have taken until now, in units.
        given: The last pattern that this evaluation has compiled of an event, and its matcher.
    """

    __slots__ = ("_each", "_is_first", "_until", "given", "spent", "total")

    def __init__(self, total: float = math.inf, each: float = limits.EVALUATION_BUDGET) -> None:
        """Start at nothing; `each` is the budget of one evaluation."""
        self.spent = 0
        self.total = total
        self._each = each
        self._until = min(total, each)
        self._is_first = True
        self.given: tuple[str, object] | None = None

    @classmethod
    def off(cls) -> "Meter":
        """A meter that ends nothing."""
        return cls(each=math.inf)

    def begin(self, cost: int) -> None:
        """Begin an evaluation that takes at least `cost`.

        Raises:
            BudgetError: the evaluations before it have spent the `total`.
        """
        self._until = min(self.total, self.spent + self._each)
        self._is_first = True
        self.given = None
        self.charge(cost)

    def allow(self, total: float) -> None:
        """Let all evaluations from now on take so much together."""
        self.total = self.spent + total

    def charge(self, units: float) -> None:
        """Charge what comes next.

        Raises:
            BudgetError: it doesn't fit; then nothing is charged.
        """
        spent = self.spent + int(units)
        if spent > self._until:
            raise BudgetError("the evaluation takes more than its budget (docs/limits.md)")
        self.spent = spent

    def charge_total(self, units: float) -> None:
        """Charge what is no evaluation, and is done already, to the total.

        Raises:
            BudgetError: it was more than was left.
        """
        self.spent += int(units)
        self.check_total()

    def check_total(self) -> None:
        """Go on only while there is something left of the total.

        Raises:
            BudgetError: there is nothing left.
        """
        if self.spent > self.total:
            raise BudgetError("its match values take more than is left for the event")

    def add(self, units: float) -> None:
        """Count work that is done in any case."""
        self.spent += int(units)

    def walk(self, items: int, each: Cost) -> None:
        """Charge a walk over some items of which each takes so much; see `charge`."""
        self.charge(items * (self.weight_of_walk(each.time) + each.made))

    def weight_of_walk(self, time: float) -> float:
        """What an item weighs for its time, in the walk that begins now."""
        first, self._is_first = self._is_first, False
        return time / _FIRST_WALK if first else time

    def limit_items(self, items: int, most: int) -> None:
        """Allow at most so many items, unless this meter is off.

        Raises:
            BudgetError: there are more.
        """
        if items > most and self._each != math.inf:
            raise BudgetError(f"a list of {items} items where only {most} may be walked")


def cost_of_text(left: str, right: str) -> float:
    """What comparing two texts weighs: little where both have one byte for each character."""
    narrow = left.isascii() and right.isascii()
    return min(len(left), len(right)) * (COMPARED_CHAR if narrow else COMPARED_WIDE_CHAR)


def cost_of_search(text: str, part: str) -> float:
    """What looking for a part in a text weighs.

    CPython compares up to all pairs of characters in short texts, and in longer ones for short
    parts; else it looks at each character a few times.
    """
    simple = len(text) < _SHORT_TEXT or (len(part) < _SHORT_PART and len(text) < _LONG_TEXT)
    pairs = len(part) * max(0, len(text) - len(part)) if simple else 0
    return len(text) * READ_CHAR + pairs * SEARCHED_PAIR


def cost_of_searches(text: str, part: str) -> float:
    """What looking for a part weighs, from any place on: once, or for each time that it occurs.

    However long the text is, what is left of it behind some place is short.
    """
    length, size = len(text), len(part)
    most = _LONG_TEXT if size < _SHORT_PART else _SHORT_TEXT
    places = min(length, most) - size
    return length * READ_CHAR + (size * places * SEARCHED_PAIR if places > 0 else 0)


def cost_of_search_backwards(text: str, part: str) -> float:
    """What looking for a part from the end on weighs: CPython has only the simple way for it."""
    pairs = len(part) * max(0, len(text) - len(part))
    return len(text) * READ_CHAR + pairs * SEARCHED_PAIR


def cost_of(node: Node) -> Cost:
    """What evaluating a node takes, whatever the data: all but walks, which are charged then."""
    time, made = STEP * node.weight, 0
    match node:
        case ListNode(items=items):
            made = MADE_CONTAINER + MADE_ITEM * len(items)
        case MapNode(items=items):
            made = MADE_CONTAINER + MADE_MEMBER * len(items)
        case Call(name=name, arguments=(_, zone)) if name.startswith("get"):
            time += 0 if isinstance(zone, Literal) else STEP * ZONE_STEPS
            made = MADE_NUMBER
        case Binary(operator="+" | "-" | "*" | "/" | "%") | Call():
            made = MADE_NUMBER
        case Macro(receiver=receiver):
            # The body is charged per item, when their number is known.
            inner = cost_of(receiver)
            return Cost(time + inner.time, MADE_CONTAINER + inner.made)
    for child in node.children():
        inner = cost_of(child)
        time, made = time + inner.time, made + inner.made
    return Cost(time, made)


def cost_of_item(node: Macro) -> Cost:
    """What a macro takes per item."""
    body = cost_of(node.body)
    keeps = node.name in {"map", "filter", "exists_one"}
    return Cost(ITEM + body.time, body.made + (MADE_ITEM if keeps else 0))


def is_closed(node: Node, bound: frozenset[str] = frozenset()) -> bool:
    """Whether a node's value is the same for all events; `bound` are the variables of macros."""
    if isinstance(node, Reference):
        return node.variable in bound
    if isinstance(node, Macro):
        inner = bound | {node.variable}
        return is_closed(node.receiver, bound) and is_closed(node.body, inner)
    return all(is_closed(child, bound) for child in node.children())
