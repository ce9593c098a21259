"""The limits of the dashboard, and of what is counted for it."""

from typing import Final

from streams.api import run_counts
from streams.api.routes import activity
from streams.dashboard import guesses, live, routing, sessions
from streams.read_model import retention
from tests.repo.limit import Limit
from topology import limits

_PAGES: Final = "unit/streams/dashboard"
ROWS: Final = [
    Limit(
        "a session",
        f"{sessions.LASTS_MS // limits.HOUR_MS} hours",
        "sign in again",
        f"{_PAGES}/test_sign_in.py::test_twelve_hours",
    ),
    Limit(
        "the link that `countermand up` prints",
        f"{sessions.LINK_LASTS_MS // limits.MINUTE_MS} minutes, once",
        "410 `link_used`",
        f"{_PAGES}/test_sign_in.py::test_an_old_link",
    ),
    Limit(
        "wrong keys whose answers wait",
        f"{guesses.WAITING}, up to {guesses.LONGEST_S:.0f} s each",
        "429 `too_many_guesses`",
        f"{_PAGES}/test_guesses.py::test_too_many",
    ),
    Limit(
        "fields of a form",
        f"{routing.MOST_FIELDS}",
        "400 `malformed_form`",
        f"{_PAGES}/test_hostile.py::test_odd_bodies",
    ),
    Limit(
        "browsers that one process keeps up to date",
        f"{live.MOST}",
        "503 `too_many_watchers`, with `Retry-After`",
        f"{_PAGES}/test_live.py::test_too_many",
    ),
    Limit(
        "runs that are counted, by status; of a function in a list",
        f"{run_counts.MOST_COUNTED:,}; {run_counts.MOST_UNFINISHED:,}",
        "`capped` is true",
        "unit/streams/api/test_run_counts.py::test_a_status_is_counted_up_to_a_bound",
    ),
    Limit(
        "rows of the table `activity`",
        f"{retention.ACTIVITY_ROWS:,}",
        "the oldest minutes of single functions go, and say so",
        "unit/streams/read_model/test_retention.py::test_too_much_activity_goes_sooner",
    ),
    Limit(
        "points of `GET /v1/activity`",
        f"{activity.MOST:,}",
        "422: use a larger step",
        "unit/streams/api/routes/test_activity.py::test_what_is_asked_for_is_bounded",
    ),
]
