"""Requests that are worked off in slices: what each kind does at each step."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

from streams.joiner.decide import requests
from streams.joiner.decide.commands import cancellations, pauses, replays
from streams.joiner.decide.requests import Decide, Tally
from streams.joiner.decide.view import Context, View
from topology.records import CancelRuns, LongRequest, Pause, Replay
from topology.tables import RequestRow

C = TypeVar("C", bound=LongRequest)


class Kind(NamedTuple, Generic[C]):
    """The handler of one kind of request, whose commands are of the class `C`.

    Attributes:
        begin: Writes the row of a new request.
        between: The received times (ms) between which a request looks at runs, both exclusive.
        decider: Makes the function that decides on each run of a slice.
        scanned: The row of a request that has met every run in its range.
        fire: Takes the next step when the row's timer is due.
    """

    begin: Callable[[View, Context, C], None]
    between: Callable[[RequestRow, C], tuple[int, int]]
    decider: Callable[[View, RequestRow, C, Tally], Decide]
    scanned: Callable[[View, RequestRow, C], RequestRow]
    fire: Callable[[View, RequestRow], None] = requests.write_done


KINDS: Final[Mapping[type[LongRequest], Kind[Any]]] = {
    CancelRuns: Kind(
        cancellations.cancel_runs, requests.between, cancellations.decider, cancellations.scanned
    ),
    Pause: Kind(pauses.pause, pauses.between, pauses.decider, pauses.scanned, pauses.fire),
    Replay: Kind(replays.replay, requests.between, replays.decider, replays.scanned),
}
