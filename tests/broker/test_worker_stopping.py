"""A worker that is told to stop ends, whatever its functions do."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.worker import PATIENCE_S, Backend, Shop

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def backend(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Router and joiner for all tests; each has an app of its own."""
    found = Backend(kafka, tmp_path_factory.mktemp("stopping"))
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.fixture
def shop(backend: Backend) -> Iterator[Shop]:
    """An app of one test alone, without a worker yet."""
    with Shop(backend, lease="1h") as found:
        yield found


@pytest.mark.parametrize(
    ("function", "step"),
    [("work", "hold load"), ("work", "block load"), ("blocking", "hold load")],
    ids=["in a thread", "on the loop", "of a blocking function"],
)
def test_a_step_that_hangs_does_not_keep_a_worker(shop: Shop, function: str, step: str) -> None:
    """After its grace it ends, and has said which run hangs in which step."""
    worker = shop.start(WORKER_GRACE="1s")
    shop.request("hangs", step, function=function)
    shop.begins("hangs", "load")
    run_id = shop.run("hangs")["run_id"]
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    assert f"{shop.app}-{function} {run_id}: step load" in worker.log.read_text("utf-8")


def test_a_cleanup_that_hangs_does_not_keep_a_worker(shop: Shop) -> None:
    """Another worker calls it again."""
    worker = shop.start(WORKER_GRACE="1s")
    shop.request("hangs", "sleep wait 1h", hangs=True)
    shop.reaches("hangs", "sleeping")
    shop.cancel("hangs")
    shop.is_cleaned("hangs")
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    assert worker.said("a function or cleanup goes on that can't be interrupted") == 1


def test_a_second_signal_ends_a_worker_at_once(shop: Shop) -> None:
    """Long before its grace ends, with the code of what was interrupted."""
    worker = shop.start(WORKER_GRACE="1h")
    shop.request("hangs", "hold load")
    shop.begins("hangs", "load")
    # Two signals of one kind may count as one.
    os.kill(worker.pid, signal.SIGTERM)
    os.kill(worker.pid, signal.SIGINT)
    assert worker.wait(PATIENCE_S) == 130
