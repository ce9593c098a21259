"""What becomes of registrations on a real broker: what is taken, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.broker.ports import free_port
from streams.cli.exits import ExitCode
from streams.functions.reader import RegistryReader
from streams.kafka import clients
from tests.inngest.conftest import Bridge, Runs, SdkApp, put, sync
from tests.support.deadline import eventually
from tests.support.worker import PATIENCE_S, Backend
from topology import topics

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

REFUSED = ("clock", "debounced", "batched", "limited", "once", "single", "shouting")
FILE = """
functions:
  - app: {app}
    id: report
    triggers: [{{event: file/requested}}]
"""


@pytest.fixture
def app(bridge: Bridge) -> Iterator[SdkApp]:
    """An app that runs, and that the test registers."""
    with SdkApp("python", bridge, bridge.log.parent) as found:
        yield found


def declared(backend: Backend, app_id: str) -> dict[str, int]:
    """The functions of an app that are declared, with their versions."""
    settings = backend.settings
    client = clients.librdkafka(settings)
    with RegistryReader(client, settings.topic(topics.FUNCTIONS)) as reader:
        registry = reader.load()
    slugs = [slug for slug in registry.slugs() if slug.startswith(f"{app_id}-")]
    return {slug: len(registry.versions(slug)) for slug in slugs}


def write(folder: Path, app_id: str) -> str:
    """A file that declares a function that the app has, too."""
    path = folder / "functions.yaml"
    path.write_text(FILE.format(app=app_id), encoding="utf-8")
    return str(path)


def test_an_app_registers_itself(backend: Backend, app: SdkApp, runs: Runs) -> None:
    """As deploy hooks have it; once more changes nothing."""
    assert put(app.url)["modified"] is True
    first = declared(backend, app.id)
    assert f"{app.id}-report" in first
    assert set(first.values()) == {1}
    again = put(app.url)
    assert (again["ok"], again["modified"]) == (True, False)
    assert declared(backend, app.id) == first
    runs.send("reminder/created", id="itself", at="2020-01-01T00:00:00+00:00")
    runs.reaches(f"{app.id}-reminder", "id", "itself", "completed")


def test_all_refusals_are_told_at_once(backend: Backend, bridge: Bridge) -> None:
    """Though the app relays them with the status 200; nothing of it is registered."""
    with SdkApp("refused", bridge, bridge.log.parent) as app:
        done = sync(bridge, app)
    assert done.returncode == ExitCode.REFUSED, done.stderr
    assert [id_ for id_ in REFUSED if f"{app.id}-{id_}: " not in done.stderr] == []
    assert f"{app.id}-fine" not in done.stderr
    assert declared(backend, app.id) == {}


def test_a_refused_app_holds_up_no_other(backend: Backend, bridge: Bridge) -> None:
    """Nor does one that isn't there; the errors of both are told in the end."""
    folder, nobody = bridge.log.parent, f"http://127.0.0.1:{free_port()}/api/inngest"
    with SdkApp("refused", bridge, folder) as bad, SdkApp("python", bridge, folder) as good:
        done = sync(bridge, good, bad.url, nobody)
    assert done.returncode == ExitCode.REFUSED, done.stderr
    assert f"{bad.id}-" in done.stderr
    assert f"{nobody} doesn't answer" in done.stderr
    assert declared(backend, good.id)
    assert declared(backend, bad.id) == {}


def test_an_app_belongs_to_its_origin(backend: Backend, bridge: Bridge, runs: Runs) -> None:
    """Another one of its id is refused, until somebody says that it has moved."""
    folder = bridge.log.parent
    with SdkApp("python", bridge, folder) as here:
        assert sync(bridge, here).returncode == 0
        with SdkApp("python", bridge, folder, id_=here.id) as there:
            refused = sync(bridge, there)
            assert refused.returncode == ExitCode.REFUSED, refused.stderr
            assert here.origin in refused.stderr
            assert f"--moved {there.url}" in refused.stderr
            moved = sync(bridge, there, "--moved")
            assert moved.returncode == 0, moved.stderr
            pushed: list[str] = []

            def goes_there() -> bool:
                """Whether one more run is executed there: the bridge has heard of the move."""
                pushed.append(f"moved{len(pushed)}")
                runs.send("reminder/created", id=pushed[-1], at="2020-01-01T00:00:00+00:00")
                runs.reaches(f"{here.id}-reminder", "id", pushed[-1], "completed")
                return there.marks(pushed[-1]) == ["push"]

            eventually(goes_there, PATIENCE_S)
            assert here.marks(pushed[-1]) == []
    assert set(declared(backend, here.id).values()) == {1}


def test_a_function_that_an_app_leaves_out(bridge: Bridge) -> None:
    """It is named until it is deleted, and not any more then."""
    with SdkApp("node", bridge, bridge.log.parent) as app:
        assert sync(bridge, app).returncode == 0
        app.kill()
        app.configure(WITHOUT="relay")
        app.start()
        left = f"{app.id}-relay"
        told = sync(bridge, app)
        assert f"countermand functions delete {left}" in told.stdout, told.stderr
        deleted = bridge.command("functions", "delete", left, "--yes")
        assert deleted.returncode == 0, deleted.stderr
        told = sync(bridge, app)
        assert told.returncode == 0, told.stderr
        assert left not in told.stdout


def test_a_function_of_a_file(backend: Backend, bridge: Bridge, tmp_path: Path) -> None:
    """No app takes it over, and nothing else of the app is registered."""
    with SdkApp("python", bridge, bridge.log.parent) as app:
        applied = bridge.command("functions", "apply", "-f", write(tmp_path, app.id))
        assert applied.returncode == 0, applied.stderr
        refused = sync(bridge, app)
    assert refused.returncode == ExitCode.REFUSED, refused.stderr
    assert f"{app.id}-report is declared by a file or a worker" in refused.stderr
    assert declared(backend, app.id) == {f"{app.id}-report": 1}


def test_a_function_of_an_app(
    backend: Backend, bridge: Bridge, app: SdkApp, tmp_path: Path
) -> None:
    """No file takes it over."""
    assert sync(bridge, app).returncode == 0
    before = declared(backend, app.id)
    refused = bridge.command("functions", "apply", "-f", write(tmp_path, app.id))
    assert refused.returncode == ExitCode.REFUSED, refused.stderr
    assert f"{app.id}-report is declared by an Inngest app" in refused.stderr
    assert declared(backend, app.id) == before
