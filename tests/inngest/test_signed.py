"""Apps in production: what is signed, by whom, and what becomes of a wrong key."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import pytest

from streams.cli.exits import ExitCode
from tests.inngest.apps.forger import Forger
from tests.inngest.conftest import SIGNING_KEY, Bridge, Runs, SdkApp, cloud, put, sync
from tests.inngest.kinds import FURTHER, KINDS, USUAL
from tests.support.broker import unique_name
from tests.support.worker import Backend

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

OTHER_KEY = "signkey-test-ffffffffffffffffffffffffffffffff"


class Cloud(NamedTuple):
    """A bridge that signs, with an event key of it, and apps at origins that it may call."""

    bridge: Bridge
    event_key: str
    apps: dict[str, SdkApp]
    forger: Forger


@pytest.fixture(scope="module")
def signed(backend: Backend) -> Iterator[Cloud]:
    """The bridge runs, and the forger; no app does yet."""
    bridge = Bridge(backend.settings, backend.folder, number=21, INNGEST_SIGNING_KEY=SIGNING_KEY)
    key = key_of(bridge, "sender")
    apps = {
        kind: SdkApp(kind, bridge, backend.folder, **cloud(bridge, key))
        for kind in (*USUAL, *FURTHER)
    }
    try:
        with Forger(unique_name("forger"), OTHER_KEY) as forger:
            origins = [forger.origin, *(one.origin for one in apps.values())]
            bridge.configure(INNGEST_ORIGINS=",".join(origins))
            yield Cloud(bridge.join(), key, apps, forger)
    finally:
        bridge.end()


@pytest.fixture(params=KINDS)
def app(request: pytest.FixtureRequest, signed: Cloud) -> Iterator[SdkApp]:
    """An app of each SDK, which isn't registered yet."""
    with signed.apps[request.param] as found:
        yield found


@pytest.fixture
def registered(signed: Cloud) -> Iterator[SdkApp]:
    """One that is."""
    with signed.apps["python"] as found:
        done = sync(signed.bridge, found)
        assert done.returncode == 0, done.stderr
        yield found
    found.configure(INNGEST_EVENT_KEY=signed.event_key, INNGEST_SIGNING_KEY=SIGNING_KEY)


def key_of(bridge: Bridge, role: str) -> str:
    """A new API key."""
    made = bridge.command("keys", "create", "--role", role, "app")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def post(url: str, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    """The status and body of a call."""
    request = urllib.request.Request(  # noqa: S310  # our own
        url, orjson.dumps(body), {"content-type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # our own
            return answer.status, orjson.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, orjson.loads(error.read())


def bearer(signing_key: str) -> str:
    """How an SDK shows its key."""
    return f"Bearer {hashlib.sha256(bytes.fromhex(signing_key.rpartition('-')[2])).hexdigest()}"


def test_an_app_in_production(signed: Cloud, app: SdkApp, runs: Runs) -> None:
    """It is asked for its functions, called, and sends events."""
    done = sync(signed.bridge, app)
    assert done.returncode == 0, done.stderr
    assert f"functions of {app.id}" in done.stderr
    relayed = f"{app.id}-relayed"
    runs.send("relay/requested", id=relayed)
    runs.reaches(f"{app.id}-relay", "id", relayed, "completed")
    runs.reaches(f"{app.id}-report", "reportId", relayed, "completed")
    assert app.marks(relayed) == ["load", "render", "save 2"]


def test_a_deploy_hook(registered: SdkApp) -> None:
    """An app that is told to register itself shows its key."""
    assert put(registered.url)["modified"] is False


def test_an_app_with_another_signing_key(signed: Cloud, registered: SdkApp, runs: Runs) -> None:
    """It takes no call, and isn't registered; its runs go on when it has the right one."""
    registered.kill()
    registered.configure(INNGEST_SIGNING_KEY=OTHER_KEY)
    registered.start()
    refused = sync(signed.bridge, registered)
    assert refused.returncode == ExitCode.REFUSED, refused.stderr
    assert "INNGEST_SIGNING_KEY" in refused.stderr
    assert "COUNTERMAND_INNGEST_SIGNING_KEY" in put(registered.url)["error"]
    runs.send("report/requested", reportId="s1")
    runs.failing(f"{registered.id}-report", "reportId", "s1", "signing key")
    registered.kill()
    registered.configure(INNGEST_SIGNING_KEY=SIGNING_KEY)
    registered.start()
    runs.reaches(f"{registered.id}-report", "reportId", "s1", "completed")
    assert registered.marks("s1") == ["load", "render", "save 2"]


def test_an_app_with_a_wrong_event_key(signed: Cloud, registered: SdkApp, runs: Runs) -> None:
    """Its step fails, and succeeds when the key is right."""
    registered.kill()
    registered.configure(INNGEST_EVENT_KEY="cmk_wrong")
    registered.start()
    runs.send("relay/requested", id="s2")
    runs.failing(f"{registered.id}-relay", "id", "s2", "API key")
    registered.kill()
    registered.configure(INNGEST_EVENT_KEY=signed.event_key)
    registered.start()
    runs.reaches(f"{registered.id}-report", "reportId", "s2", "completed")
    assert registered.marks("s2") == ["load", "render", "save 2"]


def test_event_keys(signed: Cloud) -> None:
    """Only a key that may do nothing else: it stands in URLs."""
    event = {"name": "nobody/listens", "data": {}}
    found = {
        role: post(f"{signed.bridge.front}/e/{key_of(signed.bridge, role)}", event)
        for role in ("sender", "viewer", "admin")
    }
    assert {role: status for role, (status, _) in found.items()} == {
        "sender": 200,
        "viewer": 403,
        "admin": 403,
    }
    status, body = post(f"{signed.bridge.front}/e/NO_EVENT_KEY_SET", event)
    assert (status, body["status"]) == (401, 401)


def test_answers_of_another_key(signed: Cloud, runs: Runs) -> None:
    """Who answers without the key is no app: neither what it has counts, nor what it returns."""
    forger, bridge = signed.forger, signed.bridge
    refused = bridge.command("inngest", "sync", forger.url)
    assert refused.returncode == ExitCode.REFUSED, refused.stderr
    assert "isn't signed" in refused.stderr
    url, configuration = f"{bridge.front}/fn/register", forger.configuration()
    assert post(url, configuration, authorization=bearer(OTHER_KEY))[0] == 401
    assert post(url, configuration)[0] == 401
    taken = post(url, configuration, authorization=bearer(SIGNING_KEY))
    assert taken == (200, {"ok": True, "modified": True, "status": 200})
    runs.send("forged/requested", id="s3")
    run = runs.reaches(f"{forger.id}-work", "id", "s3", "failed")
    assert "isn't signed" in run["error"]["message"]
    assert len(forger.calls) == 1


def test_an_origin_that_isn_t_configured(backend: Backend, signed: Cloud, runs: Runs) -> None:
    """It isn't registered, in neither way, nor called if somebody else has registered it."""
    environment = cloud(signed.bridge, signed.event_key)
    with SdkApp("python", signed.bridge, backend.folder, **environment) as stranger:
        refused = sync(signed.bridge, stranger)
        assert refused.returncode == ExitCode.REFUSED, refused.stderr
        assert "COUNTERMAND_INNGEST_ORIGINS" in refused.stderr
        assert "COUNTERMAND_INNGEST_ORIGINS" in put(stranger.url)["error"]
        other = Bridge(
            backend.settings,
            backend.folder,
            number=22,
            INNGEST_SIGNING_KEY=SIGNING_KEY,
            INNGEST_ORIGINS=stranger.origin,
        )
        done = sync(other, stranger)
        assert done.returncode == 0, done.stderr
        runs.send("doomed/requested", id="s4")
        run = runs.reaches(f"{stranger.id}-doomed", "id", "s4", "failed")
        assert "COUNTERMAND_INNGEST_ORIGINS" in run["error"]["message"]
