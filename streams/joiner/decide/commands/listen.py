"""`listen` and `unlisten`: a run with another home waits here under some of its match keys."""

from itertools import takewhile

from streams.joiner.decide.commands import cancel_events
from streams.joiner.decide.view import Context, View
from topology import codec, held_rows, keys, tables
from topology.held_rows import HeldUnlisten
from topology.records import ForwardedMatch, Listen, Unlisten
from topology.tables import DeliveryRow, ListenerRow


def listen(view: View, _: Context, command: Listen) -> None:
    """Let a run wait here, unless it has ended; held cancel events are sent to its home."""
    unlisten_key = held_rows.held_unlisten_key(command.run_id)
    if view.may_hold(unlisten_key) and view.get(unlisten_key) is not None:
        return
    for listener in command.listeners:
        key = tables.listener_key(listener.key, command.run_id, listener.rule)
        view.put(key, codec.LISTENER_ROWS.encode(ListenerRow(listener.until)))
        if view.may_hold(tables.HELD_CANCELS + listener.key):
            work = tables.delivery_key(listener.key, command.run_id, listener.rule)
            _deliver(view, work, b"", b"")


def go_on(view: View, key: bytes, row: DeliveryRow) -> None:
    """Do the next slice of sending held cancels to a run's home, unless the run has ended."""
    match_key, run_id = key[tables.DELIVERY_MATCH_KEY], key[tables.DELIVERY_RUN]
    view.put(key, None)
    if view.get(tables.listener_key(match_key, run_id, key[tables.DELIVERY_RULE])) is not None:
        _deliver(view, key, row.cursor, row.last)


def _deliver(view: View, work: bytes, cursor: bytes, last: bytes) -> None:
    """Send the held cancels beyond the key `cursor` to a run's home; the rest is a work row.

    Up to the key `last`, if there is one: those that came later have found the listener themselves.
    """
    run_id, rule = work[tables.DELIVERY_RUN], work[tables.DELIVERY_RULE]
    home = keys.partition_of_run(run_id, view.partitions)
    match_key = work[tables.DELIVERY_MATCH_KEY]
    for key, event in cancel_events.held_cancels(view, match_key, cursor):
        if last and key > last:
            return
        if view.is_full():
            last = last or view.last_held(tables.HELD_CANCELS + match_key)
            view.put(work, codec.WORK_ROWS.encode(DeliveryRow(cursor, last)))
            return
        view.forward(home, ForwardedMatch(event, ((run_id, rule),)))
        cursor = key


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
        view.put(held_rows.held_unlisten_key(command.run_id), codec.HELD_ROWS.encode(held))


def _listeners(view: View, match_key: bytes, run_id: bytes) -> list[tuple[bytes, bytes]]:
    """The rows of a run's listeners under one match key."""
    prefix = tables.LISTENERS + match_key
    rows = view.scan(prefix, prefix + run_id)
    return list(takewhile(lambda row: row[0][tables.LISTENER_RUN] == run_id, rows))
