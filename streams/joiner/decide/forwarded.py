"""Commands from the joiner of another partition."""

from streams.joiner.decide import cancels, listen
from streams.joiner.view import View
from topology.records import Forward, ForwardedCancel, ForwardedMatch, Unlisten


def forwarded(view: View, command: Forward) -> None:
    """Decide one forwarded command."""
    match command:
        case ForwardedMatch(cancel=event, hits=hits):
            for run_id, rule in hits:
                cancels.cancel_run(view, event, run_id, rule)
        case ForwardedCancel(cancel=event, matches=matches):
            cancels.cancel(view, event, matches)
        case Unlisten():
            listen.unlisten(view, command)
