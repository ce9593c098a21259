"""Work rows: one bounded slice of a cancel event with many listeners (S24's bounds, for events)."""

from streams.joiner.decide import cancels
from streams.joiner.view import View
from topology import codec
from topology.tables import FanOutRow

_MATCH_KEY = slice(1, 17)


def work(view: View, key: bytes) -> None:
    """Do the next slice of a work row; the row goes when it is done."""
    value = view.get(key)
    assert value is not None, "a work row in hand exists"
    row = codec.FAN_OUT_ROWS.decode(value)
    cursor = cancels.fan_out_slice(view, row.cancel, key[_MATCH_KEY], row.cursor)
    if cursor is None:
        view.put(key, None)
    else:
        view.put(key, codec.FAN_OUT_ROWS.encode(FanOutRow(row.cancel, cursor)))
