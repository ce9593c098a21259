"""`listen` and `unlisten`: a run with another home waits here under some of its match keys."""

from itertools import takewhile

from streams.joiner.decide.commands import cancel_events
from streams.joiner.decide.view import Context, View
from topology import codec, keys, tables
from topology.records import ForwardedMatch, Listen, Unlisten
from topology.tables import HeldUnlisten, ListenerRow


def listen(view: View, _: Context, command: Listen) -> None:
    """Let a run wait here, unless it has ended; held cancel events are sent to its home."""
    if view.held(tables.held_unlisten_key(command.run_id)):
        return
    home = keys.partition_of_run(command.run_id, view.partitions)
    for listener in command.listeners:
        key = tables.listener_key(listener.key, command.run_id, listener.rule)
        view.put(key, codec.LISTENER_ROWS.encode(ListenerRow(listener.until)))
        for event in cancel_events.held_cancels(view, listener.key):
            view.forward(home, ForwardedMatch(event, ((command.run_id, listener.rule),)))


def unlisten(view: View, command: Unlisten) -> None:
    """Remove the listeners of a run that ended or was refused.

    While listeners of it may still come, a held row keeps them out. They may come a second time:
    with a repeat of the event that is received in the same ms.
    """
    for match_key in command.keys:
        for key, _ in _listeners(view, match_key, command.run_id):
            view.put(key, None)
    if not view.passed(keys.received_ms(command.run_id)):
        held = HeldUnlisten(command.keys)
        view.put(tables.held_unlisten_key(command.run_id), codec.HELD_ROWS.encode(held))


def _listeners(view: View, match_key: bytes, run_id: bytes) -> list[tuple[bytes, bytes]]:
    """The rows of a run's listeners under one match key."""
    prefix = tables.LISTENERS + match_key
    rows = view.scan(prefix, prefix + run_id)
    return list(takewhile(lambda row: row[0][tables.LISTENER_RUN] == run_id, rows))
