"""Whatever was written to a topic, and so may stand in the database, can be shown."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import insert

from streams.database.engine import writing
from streams.database.schema import ACTIVITY, AUDIT, FAILURES, PROGRESS, REQUESTS
from streams.functions.definition import read_text
from streams.functions.registry import Registry
from tests.support.api import FUNCTIONS, Api, add_runs, run_id, run_row
from topology import codec

ID = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
AT = 1_700_000_000_000
# ms: what a column holds, what a run's id holds, the year 9999, and one more of each.
TIMES = (-(1 << 63), -62_135_596_800_001, -1, 0, 253_402_300_800_000, (1 << 48) - 1, (1 << 63) - 1)
MOST = (1 << 63) - 1
TEXT = "\x01\x1b[31m\r\n\u2028\x7f\U0010ffff"


def stored(api: Api, at: int) -> None:
    """Put rows with a time, the largest counts and such texts into every table that is read."""
    times = ("scheduled_at", "started_at", "ended_at", "stopped_at", "sleep_until", "changed_at")
    many = ("function_version", "seq", "attempt", "source_offset")
    text = ("event_name", "worker", "last_step", "source_topic")
    changes: dict[str, Any] = dict.fromkeys(times, at) | dict.fromkeys(many, MOST)
    changes |= dict.fromkeys(text, TEXT) | {"event_id": TEXT, "status": "cancelled"}
    changes |= {"cancellation_id": ID, "replay_id": ID, "error": f'{{"name": {MOST}}}'}
    add_runs(api.service, run_row(AT, 1, **changes))
    request: dict[str, Any] = {"target": TEXT, "requested_by": TEXT, "reason": TEXT}
    request |= {"function_id": "reports-generate", "at": at, "received_at": at}
    bodies: dict[str, dict[str, Any]] = {
        "cancel_runs": {
            "app_id": TEXT,
            "function_id": TEXT,
            "started_before": 1 << 70,
            "name": TEXT,
        },
        "replay": {"function_id": TEXT, "from": -(1 << 70), "to": 1 << 70, "statuses": ["failed"]},
        "pause": {"function_id": TEXT, "after": -(1 << 70)},
    }
    bodies["cancel_runs"] |= {"started_after": at, "if": TEXT}
    bodies["replay"] |= {"spread": 1 << 70, "name": TEXT}
    counts = ("scanned", "matched", "cancelled", "replayed", "already_ended", "failed")
    progress: dict[str, Any] = dict.fromkeys(counts, MOST) | {"state": "done", "error": TEXT}
    progress |= {"sample": json.dumps([TEXT]), "updated_at": at}
    audit: dict[str, Any] = {"api_key": TEXT, "actor": TEXT, "action": TEXT, "target": TEXT}
    audit |= {"id": ID, "at": at, "dry_run": False, "outcome": TEXT, "reason": TEXT}
    count = {"function_id": "", "minute": at, "kind": TEXT[:32], "count": MOST}
    with writing(api.service.engine) as connection:
        connection.execute(insert(ACTIVITY).values(count))
        for number, (kind, body) in enumerate(bodies.items()):
            id_ = run_id(AT, number)
            row = request | {"request_id": id_, "type": kind, "body": json.dumps(body)}
            connection.execute(insert(REQUESTS).values(row))
            for partition in range(2):
                found = progress | {"request_id": id_, "partition": partition}
                connection.execute(insert(PROGRESS).values(found))
        failure = {"request_id": run_id(AT), "run_id": run_id(AT, 1), "error": TEXT}
        connection.execute(insert(FAILURES).values(failure))
        connection.execute(insert(AUDIT).values(audit))
    api.service.catalogue.show(registry(at), lambda: True)


def registry(at: int) -> Registry:
    """Functions whose record has a time."""
    found = Registry()
    for function in read_text(FUNCTIONS):
        key = f"{function.slug}/{found.position:026}".encode()
        found.apply(found.position, at, key, codec.encode_function(function))
    return found


PATHS = (
    "/v1/runs",
    "/v1/runs?status=cancelled&if=event.data.n==1",
    f"/v1/runs?event_id={quote(TEXT)}",
    f"/v1/runs/{run_id(AT, 1)}",
    "/v1/runs/counts",
    "/v1/runs?ended_after=1970-01-02T00:00:00Z&ended_before=9999-12-31T23:59:59.999Z",
    f"/v1/events/{quote(TEXT)}/runs",
    "/v1/cancellations",
    f"/v1/cancellations/{run_id(AT)}",
    f"/v1/cancellations/{run_id(AT)}/begun",
    *(
        f"/v1/cancellations/{run_id(AT)}/runs?outcome={outcome}"
        for outcome in ("cancelled", "failed", "already_ended")
    ),
    "/v1/replays",
    f"/v1/replays/{run_id(AT, 1)}",
    "/v1/functions",
    "/v1/functions/reports-generate",
    "/v1/activity?after=1970-01-01T00:00:00.001Z&before=1974-01-01T00:00:00Z&step=1d",
    "/v1/activity?after=9999-12-31T00:00:00Z&before=9999-12-31T23:59:59.999Z&step=1d",
    "/v1/audit",
    f"/v1/audit?target={quote(TEXT)}",
)


@pytest.mark.parametrize("at", TIMES)
def test_every_time_count_and_text_can_be_shown(api: Api, at: int) -> None:
    """RFC 3339 ends with the year 9999, and JSON has no bound for numbers."""
    stored(api, at)
    answers = {path: api.call("GET", path) for path in PATHS}
    wrong = {path: one.text for path, one in answers.items() if one.status_code != 200}
    assert wrong == {}
    (run,) = answers["/v1/runs"].json()["data"]
    assert (run["event_id"], run["attempt"]) == (TEXT, MOST)
    assert len(run["ended_at"]) == len("2026-01-31T12:00:00.000Z")
