"""What people do to many runs at once, with apps of the SDK: cancel, pause and replay them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from tests.inngest.conftest import Bridge, Runs, SdkApp, sync
from tests.support.deadline import eventually
from tests.support.services import API, READ_MODEL, Service
from tests.support.worker import PATIENCE_S, Backend

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
LATE = (datetime.now(UTC) + timedelta(days=30)).isoformat()
JSON = "--yes", "--json"
PAST = "2020-01-01T00:00:00+00:00"


class Operator:
    """Somebody with a key of the API, at a command line."""

    def __init__(self, api: Service) -> None:
        """The API has its database, but needn't run yet."""
        made = api.command("keys", "create", "--role", "admin", "ops")
        assert made.returncode == 0, made.stderr
        self._api, self._key = api, made.stdout.strip()

    def ask(self, *arguments: str) -> Any:
        """A command that goes well; what it prints, if that is JSON."""
        where = "--api-url", self._api.url, "--api-key", self._key
        done = self._api.command(*arguments, *where)
        assert done.returncode == 0, done.stderr + done.stdout
        return orjson.loads(done.stdout) if "--json" in arguments else None


@pytest.fixture(scope="module")
def operator(backend: Backend) -> Iterator[Operator]:
    """With API and read model."""
    url = f"sqlite:///{backend.folder}/operations.db"
    services = [
        Service(role, backend.settings, backend.folder, extra={"DATABASE_URL": url})
        for role in (READ_MODEL, API)
    ]
    found = Operator(services[-1])
    try:
        for one in services:
            one.start()
        eventually(lambda: all(one.is_ready for one in services), PATIENCE_S)
        yield found
    finally:
        for one in services:
            one.end()


@pytest.fixture
def app(bridge: Bridge) -> Iterator[SdkApp]:
    """An app of its own for each test."""
    with SdkApp("node", bridge, bridge.log.parent) as found:
        done = sync(bridge, found)
        assert done.returncode == 0, done.stderr
        yield found


def test_many_are_cancelled_and_replayed(
    operator: Operator, bridge: Bridge, app: SdkApp, runs: Runs
) -> None:
    """Those of an account stop, at work or not, and their replays begin anew; others go on."""
    report = f"{app.id}-report"
    asked = {f"b{number}": "ann" if number < 3 else "bob" for number in range(4)}
    for id_, account in asked.items():
        runs.send("report/requested", reportId=id_, account=account, hold=True)
        app.until(id_, "render")
    done = operator.ask(
        "cancel", "--function", report, "--if", "event.data.account == 'ann'", *JSON
    )
    assert done["cancellation"]["counts"]["cancelled"] == 3
    eventually(lambda: bridge.stopping == 3, PATIENCE_S)
    for id_ in asked:
        app.open_gate(id_)
    runs.reaches(report, "reportId", "b3", "completed")
    for id_ in ("b0", "b1", "b2"):
        runs.stops(report, "reportId", id_)
        app.until(id_, "inngest/function.cancelled")
        assert app.marks(id_) == ["load", "render", "inngest/function.cancelled"]
    again = operator.ask("replay", "--cancellation", done["cancellation"]["id"], *JSON)
    assert again["replay"]["counts"]["replayed"] == 3
    for id_ in ("b0", "b1", "b2"):
        runs.reaches(report, "reportId", id_, "completed")
        assert app.marks(id_)[3:] == ["load", "render", "save 2"]
    assert app.marks("b3") == ["load", "render", "save 2"]


def test_a_function_is_paused(operator: Operator, app: SdkApp, runs: Runs) -> None:
    """Who sleeps is cancelled, who comes later is skipped, and after the resume all is as ever."""
    reminder = f"{app.id}-reminder"
    runs.send("reminder/created", id="asleep", at=LATE)
    runs.reaches(reminder, "id", "asleep", "sleeping")
    operator.ask("pause", reminder, "--running", "now", "--yes")
    runs.reaches(reminder, "id", "asleep", "cancelled")
    runs.send("reminder/created", id="kept", at=PAST)
    runs.reaches(reminder, "id", "kept", "skipped")
    operator.ask("resume", reminder)
    runs.send("reminder/created", id="after", at=PAST)
    runs.reaches(reminder, "id", "after", "completed")
    assert [app.marks(id_) for id_ in ("asleep", "kept", "after")] == [[], [], ["push"]]
