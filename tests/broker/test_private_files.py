"""What processes keep on disk is for their user alone, whatever mask they are started with."""

import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from streams import private
from streams.broker.ports import free_port
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.services import environment

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
PATIENCE_S = 90


@pytest.fixture
def settings(kafka: str) -> Settings:
    """Topics of this test alone."""
    name = unique_name("private")
    found = load(
        kafka_bootstrap_servers=kafka, topic_prefix=f"{name}.", application_id=name, partitions=2
    )
    create_topics(found)
    return found


@contextmanager
def process(settings: Settings, folder: Path, *arguments: str, **own: str) -> Iterator[None]:
    """A ready process that keeps its files in a folder, started with a mask that takes nothing."""
    port = str(free_port())
    env = environment(settings) | {
        "COUNTERMAND_STATE_DIR": str(folder),
        "COUNTERMAND_WEB_PORT": port,
        **own,
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *arguments],
        env=env,
        umask=0,
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: is_ready(started, port), PATIENCE_S)
        yield
    finally:
        started.terminate()
        started.wait(PATIENCE_S)


def is_ready(started: "subprocess.Popen[bytes]", port: str) -> bool:
    """Whether a process that runs is ready."""
    assert started.poll() is None
    try:
        url = f"http://127.0.0.1:{port}/healthz/ready"
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def open_to_others(folder: Path) -> Sequence[str]:
    """What others have a right on, the folder included."""
    return [
        f"{path}: {stat.filemode(found.st_mode)}"
        for path in (folder, *folder.rglob("*"))
        if (found := path.lstat()).st_mode & 0o077
    ]


def make_open(*paths: Path) -> None:
    """Files as an older release left them."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"old")
        for one in (path, path.parent):
            one.chmod(0o777)


def test_a_joiners_and_a_read_models_files(settings: Settings, tmp_path: Path) -> None:
    """RocksDB's and SQLite's, with what SQLite keeps beside; and those that were open before."""
    folder = tmp_path / "state"
    make_open(folder / "partitions" / "7" / "000009.sst", folder / "countermand.db-journal")
    with process(settings, folder, "joiner"), process(settings, folder, "read-model", "run"):
        for name in ("partitions/0/CURRENT", "countermand.db", "countermand.db-wal"):
            assert (folder / name).exists()
        assert open_to_others(folder) == []
    assert open_to_others(folder) == []


def test_a_workers_files(settings: Settings, tmp_path: Path) -> None:
    """The recorded steps that it reads; what its functions write has the mask of the worker."""
    folder = tmp_path / "state"
    make_open(folder / "workers" / "killed" / "steps" / "0" / "000009.sst")
    app = {"PYTHONPATH": str(tmp_path), "TEST_FILE": str(tmp_path / "users")}
    (tmp_path / "masked_app.py").write_text(
        "import os, pathlib, threading\n"
        "from streams.sdk import App\n"
        "app = App('private')\n"
        "@app.function(id='one', trigger='never')\n"
        "async def one(ctx): ...\n"
        "threading.Timer(0, pathlib.Path(os.environ['TEST_FILE']).touch).start()\n"
    )
    with process(settings, folder, "worker", "masked_app:app", **app):
        steps = folder / "workers"
        assert eventually(lambda: list(steps.glob("*/steps/*/CURRENT")), PATIENCE_S)
        with ThreadPoolExecutor(1) as other:
            allowed = other.submit(private.mask_thread).result()
        assert open_to_others(folder) == [] or not allowed
        assert not any(one.stat().st_mode & 0o077 for one in (folder, *steps.glob("*")))
        assert stat.S_IMODE((tmp_path / "users").stat().st_mode) == 0o666
