"""Reminders of appointments: each is sent in time, unless its appointment is cancelled before.

- `countermand worker examples.schedule_reminder.reminders:app` sends them.
- `python -m examples.schedule_reminder.reminders book NAME 2026-12-24T09:00:00Z` books an
  appointment, or moves it; `cancel NAME` cancels it.
"""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from streams import settings as countermand
from streams.kafka.producers import Sender
from streams.sdk import App, CancelledRun, Context
from topology import topics

app = App("clinic")


@app.function(
    id="remind",
    trigger="appointment/booked",
    cancel_on=[
        {"event": "appointment/cancelled", "match": "data.appointment"},
        # One that is booked again was moved: the latest reminder counts.
        {"event": "appointment/booked", "match": "data.appointment"},
    ],
)
async def remind(ctx: Context) -> None:
    """Sleep until it is time, which costs nothing, and send the reminder."""
    await ctx.step.sleep_until("until it is time", ctx.event.data["remindAt"])
    await ctx.step.run("send", send, ctx.event.data["appointment"], ctx.event.data["at"])


@app.on_cancelled(function="remind")
def forget(run: CancelledRun) -> None:
    """Say why somebody wasn't reminded."""
    why = run.cause.get("event", {}).get("name", run.cause["type"])
    print(f"No reminder of {run.event.data['appointment']}: {why}", flush=True)


def send(appointment: str, at: str) -> None:
    """Stands for a mail or a text message."""
    print(f"Reminder: {appointment} at {at}", flush=True)


def book(appointment: str, at: datetime, before: timedelta) -> None:
    """Book an appointment; its reminder comes some time before."""
    remind_at = (at - before).isoformat()
    data = {"appointment": appointment, "at": at.isoformat(), "remindAt": remind_at}
    _emit("appointment/booked", data)


def cancel(appointment: str) -> None:
    """Cancel an appointment, and with it its reminder."""
    _emit("appointment/cancelled", {"appointment": appointment})


def _emit(name: str, data: dict[str, str]) -> None:
    settings = countermand.load()
    with Sender(settings) as sender:
        event = json.dumps({"name": name, "data": data}).encode()
        sender.send(settings.topic(topics.EVENTS), event, key=data["appointment"].encode())


def main(arguments: Sequence[str] | None = None) -> None:
    """Book or cancel an appointment."""
    parser = argparse.ArgumentParser(prog="reminders", description="Book and cancel appointments.")
    actions = parser.add_subparsers(dest="action", required=True)
    booking = actions.add_parser("book")
    booking.add_argument("appointment")
    booking.add_argument("at", type=_instant, help="an instant, or +SECONDS from now")
    booking.add_argument("--before", type=int, default=0, metavar="SECONDS")
    actions.add_parser("cancel").add_argument("appointment")
    chosen = parser.parse_args(arguments)
    if chosen.action == "cancel":
        cancel(chosen.appointment)
    else:
        book(chosen.appointment, chosen.at, timedelta(seconds=chosen.before))


def _instant(text: str) -> datetime:
    """An instant with a time zone."""
    try:
        if text.startswith("+"):
            return datetime.now(UTC) + timedelta(seconds=int(text))
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        at = None
    if at is None or at.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither an instant with a time zone, such as 2026-12-24T09:00:00Z, "
            "nor +SECONDS"
        )
    return at


if __name__ == "__main__":
    main()
