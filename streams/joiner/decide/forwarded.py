"""Decides commands that the joiner of another partition has sent."""

from streams.joiner.decide.commands import cancel_events, listen
from streams.joiner.decide.view import View
from topology.records import Forward, ForwardedCancel, ForwardedMatch, Unlisten


def forwarded(view: View, command: Forward) -> None:
    """Decide one forwarded command."""
    match command:
        case ForwardedMatch(cancel=event, hits=hits):
            for number, (run_id, rule) in enumerate(hits):
                if view.is_full():
                    # Only a home knows how large its runs are, and what they cost: it sends itself
                    # the rest.
                    view.forward(view.partition, ForwardedMatch(event, hits[number:]))
                    return
                cancel_events.match_run(view, event, run_id, rule)
        case ForwardedCancel(cancel=event, matches=matches):
            cancel_events.cancel(view, event, matches)
        case Unlisten():
            listen.unlisten(view, command)
