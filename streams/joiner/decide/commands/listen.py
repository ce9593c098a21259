"""`listen` and `unlisten`: runs with another home wait here under some of their match keys."""

from streams.joiner.decide.commands import cancel_events
from streams.joiner.decide.context import Context
from streams.joiner.decide.view import View
from topology import codec, keys, tables
from topology.records import ForwardedMatch, Listen, Unlisten
from topology.tables import HeldUnlisten, ListenerRow


def listen(view: View, _: Context, command: Listen) -> None:
    """Let a run wait here, unless it ended already; it meets the cancels that came before it."""
    if view.held(tables.held_unlisten_key(command.run_id)):
        return
    home = keys.partition_of_run(command.run_id, view.partitions)
    for listener in command.listeners:
        key = tables.listener_key(listener.key, command.run_id, listener.rule)
        view.put(key, codec.LISTENER_ROWS.encode(ListenerRow(listener.until)))
        for event in cancel_events.held_cancels(view, listener.key):
            view.forward(home, ForwardedMatch(event, ((command.run_id, listener.rule),)))


def unlisten(view: View, command: Unlisten) -> None:
    """Forget a run that ended or was refused; while its listeners may still come, remember that.

    They may come once more even where they came before: with a repeat received in the same ms.
    """
    for match_key in command.keys:
        for key in _listeners(view, match_key, command.run_id):
            view.put(key, None)
    if not view.passed(keys.received_ms(command.run_id)):
        held = HeldUnlisten(command.keys)
        view.put(tables.held_unlisten_key(command.run_id), codec.HELD_ROWS.encode(held))


def _listeners(view: View, match_key: bytes, run_id: bytes) -> list[bytes]:
    """The keys of a run's listeners under one match key."""
    prefix = tables.LISTENERS + match_key
    found = []
    for key, _ in view.scan(prefix, prefix + run_id):
        if key[tables.LISTENER_RUN] != run_id:
            break
        found.append(key)
    return found
