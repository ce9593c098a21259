"""How times, amounts and statuses are told to people."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from streams.dashboard.may import May

# A run that is cancelled while its worker goes on.
CANCELLING: Final = "Cancelling"
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SHOWN_UNITS: Final = 2
_AROUND: Final = 60

# What a page says after a write, by the parameter `note` of its address.
notes: Final = {
    "cancel_asked": "The cancel was asked for; the page shows when it is done.",
    "run_already_cancelled": "The run was cancelled already: nothing was changed.",
    "run_already_ended": "The run had ended already: nothing was changed.",
    "run_not_replayable": "A run with this status can’t be started again: nothing was done.",
    "stopped": "It was asked to stop; what it has cancelled stays cancelled.",
    "paused": "The function was paused.",
    "resumed": "The function was resumed.",
    "redriven": "It was sent again.",
    "not_redriven": "It can’t be sent again: nothing was done.",
    "revoked": "The key was revoked.",
}
causes: Final = {
    "event": "an event",
    "api": "a person or program, this run alone",
    "cancellation": "a cancellation of many",
    "start_timeout": "its time limit to start",
    "finish_timeout": "its time limit to finish",
    "pause": "a pause of its function",
}
counting: Final = {
    "queued": "Counting…",
    "running": "Counting…",
    "done": "Counted",
    "stopped": "The count was stopped",
    "failed": "The count failed",
}
outcomes: Final = {
    "cancelled": "Cancelled",
    "failed": "Without an answer",
    "already_ended": "Ended before",
}
_TARGETS: Final = {
    "cancelRun": "/runs/{}",
    "stopCancellation": "/cancellations/{}",
    "createCancellation": "/functions/{}",
    "pauseFunction": "/functions/{}",
    "resumeFunction": "/functions/{}",
    "applyFunction": "/functions/{}",
}
_MADE: Final = {"createCancellation": "/cancellations/{}", "createReplay": "/replays/{}"}
_TITLES: Final = {
    "kafka_unavailable": "Kafka doesn’t answer",
    "database_unavailable": "The database doesn’t answer",
    "searches_busy": "Other searches are under way",
    "signed_out": "You are signed out",
    "form_out_of_date": "This form is out of date",
}
_ADVICE: Final = {
    HTTPStatus.FORBIDDEN: "Ask somebody with the role for it, or sign in with another key.",
    HTTPStatus.NOT_FOUND: "It may be misspelt, or removed when its time of retention was over.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Nothing is lost: try again in a moment.",
    HTTPStatus.UNAUTHORIZED: "Sign in, and try again.",
}


def pages(may: May) -> tuple[tuple[str, str], ...]:
    """The addresses and names of the pages that are offered."""
    found = (
        ("/", "Overview"),
        ("/runs", "Runs"),
        ("/functions", "Functions"),
        ("/cancellations", "Cancellations"),
        ("/replays", "Replays"),
        ("/dead-letters", "Dead letters"),
    )
    admins = (("/audit", "Audit"), ("/keys", "API keys")) if may.read_audit else ()
    return (*found, *admins, ("/system", "System"))


def is_here(path: str, address: str) -> bool:
    """Whether a path belongs to a page of the navigation."""
    return path == address or (address != "/" and path.startswith(address + "/"))


def target_page(entry: Mapping[str, Any]) -> str | None:
    """The page of what an entry of the audit trail is about; None: there is none."""
    page = _TARGETS.get(entry["action"])
    return None if page is None or not entry["target"] else page.format(quote(entry["target"]))


def made_page(entry: Mapping[str, Any]) -> str | None:
    """The page of what an entry of the audit trail has made; None: there is none."""
    page = _MADE.get(entry["action"])
    is_there = entry["outcome"] == "done" and entry["request_id"]
    return page.format(entry["request_id"]) if page and is_there else None


def when(text: str | None) -> Markup:
    """An instant of the API; a script adds the browser's own time."""
    if text is None:
        return Markup("–")
    shown = text[:19].replace("T", " ")
    return Markup('<time datetime="{}">{}</time>').format(text, shown)


def in_field(text: str | None) -> str:
    """An instant as a browser's field for a time holds it; what is none stays as it is."""
    return (text or "").removesuffix("Z")


def status(run: Mapping[str, Any]) -> str:
    """A run's status; "cancelling" where its worker hasn't left it yet."""
    works = run["worker"] is not None and run["stopped_at"] is None
    return CANCELLING if run["status"] == "Cancelled" and works else str(run["status"])


def story(run: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """What is told of a run, in its order: times and texts."""
    yield run["run_started_at"], "received"
    if run["replay_of"]:
        yield run["scheduled_at"], f"registered as a replay of {run['replay_of']}"
    if run["started_at"]:
        yield run["started_at"], f"first claimed by a worker (attempt {run['attempt']} now)"
    if run["worker"]:
        step = f", last step {run['last_step']}" if run["last_step"] else ""
        yield None, f"held by {run['worker']}{step}"
    elif run["last_step"]:
        yield None, f"last step {run['last_step']}"
    if run["sleep_until"] and run["ended_at"] is None:
        yield run["sleep_until"], "sleeps until then"
    if run["ended_at"]:
        yield run["ended_at"], run["status"].lower()
    if run["stopped_at"]:
        yield run["stopped_at"], "its worker had left it"
    elif status(run) == CANCELLING:
        yield None, "its worker hasn’t left it yet"


def at_most(counts: Mapping[str, Any], name: str) -> str:
    """A count that ends at a limit."""
    count: int = counts[name]["count"]
    return f"over {count:,}" if counts[name]["capped"] else f"{count:,}"


def paused(pause: Mapping[str, Any]) -> str:
    """What becomes of a paused function's unfinished runs."""
    if pause["running"] == "never":
        return "go on"
    if pause["running"] == "now":
        return f"are cancelled ({pause['counts']['cancelled']:,} so far)"
    return f"are cancelled after {pause['after']}"


def duration(seconds: float) -> str:
    """About how long, in its two largest units."""
    rest = max(round(seconds), 0)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:_SHOWN_UNITS])


def seconds_between(earlier: str, later: str) -> float:
    """The time between two instants of the API."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def percent(part: float, whole: float) -> int:
    """A part of a whole in percent, rounded down; of nothing it is all."""
    return int(100 * part / whole) if whole else 100


def plural(count: int, one: str) -> str:
    """A count with its noun: `1 run`, `2 runs`."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def marked(text: str, position: int) -> str:
    """The part of a text around a place, with a mark under it."""
    begin = max(position - _AROUND // 2, 0)
    line = text[begin : begin + _AROUND].replace("\n", " ")
    return f"{line}\n{' ' * (position - begin)}^"


def problem_title(status_: int, code: str) -> str:
    """What a page of a problem is called."""
    if code in _TITLES:
        return _TITLES[code]
    if status_ == HTTPStatus.NOT_FOUND:
        return "Not found"
    return "Not allowed" if status_ == HTTPStatus.FORBIDDEN else "That didn’t work"


def advice(status_: int) -> str:
    """What to do about a problem."""
    known = {int(one): text for one, text in _ADVICE.items()}
    return known.get(status_, "Go back, change it, and try again.")
