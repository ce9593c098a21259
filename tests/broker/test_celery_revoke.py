"""The Celery example as its users run it: real workers, a real Redis, the real stack."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from streams.broker.process import GuardedProcess
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.cli import json_of, run
from tests.support.deadline import eventually
from tests.support.services import JOINER, ROUTER, Service, environment
from tests.support.watch import Watch

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "examples/celery_revoke"
PATIENCE_S = 90
# A task that nobody revokes takes longer than any test.
ENDLESS = 3_600


@pytest.fixture(scope="module")
def settings(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A router and a joiner on topics of these tests, with the example's functions."""
    name = unique_name("celery")
    settings = load(
        kafka_bootstrap_servers=kafka, topic_prefix=f"{name}.", application_id=name, partitions=2
    )
    create_topics(settings)
    applied = run("functions", "apply", "-f", str(EXAMPLE / "functions.yaml"), **where(settings))
    assert applied.exit_code == 0, applied.output
    folder = tmp_path_factory.mktemp("services")
    services = [Service(role, settings, folder) for role in (ROUTER, JOINER)]
    try:
        for one in services:
            one.start()
        eventually(lambda: all(one.is_ready for one in services), PATIENCE_S)
        yield settings
    finally:
        for one in services:
            one.end()


def where(settings: Settings) -> dict[str, str]:
    """Where the command line finds the topics."""
    return {
        "kafka_bootstrap_servers": settings.kafka_bootstrap_servers,
        "topic_prefix": settings.topic_prefix,
    }


class Shop:
    """The example's app: who asks for exports and cancels them, and the workers."""

    def __init__(self, settings: Settings, redis_url: str, folder: Path) -> None:
        self.settings = settings
        self._folder = folder
        self._results = redis.Redis.from_url(redis_url)
        self._watch = Watch(settings)
        self._environment = environment(settings) | {
            "REDIS_URL": redis_url,
            "PYTHONPATH": str(CHECKOUT),
        }
        self._workers: list[GuardedProcess] = []

    def close(self) -> None:
        """End what still runs."""
        for worker in self._workers:
            worker.kill()
        self._watch.close()
        self._results.close()

    def worker(self, pool: str = "prefork", **extra: str) -> "Worker":
        """Start a worker."""
        log = self._folder / f"worker{len(self._workers)}.log"
        command = [sys.executable, "-m", "celery", "--workdir", str(EXAMPLE), "--app", "app"]
        command += ["worker", "--loglevel", "INFO", "--pool", pool, "--concurrency", "3"]
        process = GuardedProcess(command, log, environment=self._environment | extra)
        self._workers.append(process)
        return Worker(process, log)

    def request(self, order: str, pages: Any = ENDLESS) -> str:
        """Ask for an export; the id of its task."""
        code = f"import app; print(app.request_export({order!r}, {pages!r}))"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=EXAMPLE,
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        return done.stdout.strip()

    def cancel(self, order: str) -> None:
        """Cancel an order's export, as anybody does: by an event."""
        data = json.dumps({"orderId": order})
        event = ["--name", "export/cancelled", "--data", data]
        sent = run("events", "send", *event, "--json", **where(self.settings))
        assert json_of(sent)["sent"] == 1

    def is_cancelled(self, task: str) -> bool:
        """Whether Countermand has told of a task's run that it was cancelled."""
        found = self._watch.read_topic("cancelled")
        return any(orjson.loads(one.value())["data"]["event"]["id"] == task for one in found)

    def run_status(self, task: str) -> str | None:
        """What Countermand says of a task's run now."""
        values = [orjson.loads(one.value()) for one in self._watch.read_topic("runs")]
        found = [one["status"] for one in values if one["event"]["id"] == task]
        return found[-1] if found else None

    def result(self, task: str) -> str | None:
        """What Celery says of a task."""
        value = self._results.get(f"celery-task-meta-{task}")
        assert value is None or isinstance(value, bytes)
        return None if value is None else str(json.loads(value)["status"])


class Worker:
    """A Celery worker's process and log."""

    def __init__(self, process: GuardedProcess, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        """Its log."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def await_words(self, words: str) -> None:
        """Wait until its log has these words."""
        eventually(lambda: words in self.said, PATIENCE_S)


@pytest.fixture
def shop(settings: Settings, redis_url: str, tmp_path: Path) -> Iterator[Shop]:
    """The app, without a worker."""
    found = Shop(settings, redis_url, tmp_path)
    yield found
    found.close()


def await_that(look: Callable[[], bool]) -> None:
    """Wait until something is so."""
    eventually(look, PATIENCE_S)


def test_a_task_revoked_while_no_worker_was_there_never_starts(shop: Shop) -> None:
    """Celery itself forgets revocations with its last worker; this app's workers find them."""
    earlier = shop.worker()
    earlier.await_words("ready.")
    assert earlier.process.stop() == 0
    revoked, kept = shop.request("never"), shop.request("kept", pages=1)
    shop.cancel("never")
    await_that(lambda: shop.is_cancelled(revoked))
    for _ in range(2):  # also a worker that comes later still
        worker = shop.worker()
        worker.await_words("ready.")
        await_that(lambda: shop.result(revoked) == "REVOKED")
        await_that(lambda: shop.result(kept) == "SUCCESS")
        assert "order never" not in worker.said
        assert worker.process.stop() == 0
    await_that(lambda: shop.run_status(kept) == "completed")
    assert shop.run_status(revoked) == "cancelled"


def test_a_running_task_is_terminated_and_no_other(shop: Shop) -> None:
    """Its process ends; its neighbour works on to its end, and the worker takes the next task."""
    worker = shop.worker()
    revoked, kept = shop.request("running"), shop.request("neighbour", pages=8)
    worker.await_words("order running: page 1")
    worker.await_words("order neighbour: page 1")
    shop.cancel("running")
    await_that(lambda: shop.result(revoked) == "REVOKED")
    worker.await_words(f"Terminating {revoked}")
    await_that(lambda: shop.result(kept) == "SUCCESS")
    assert "order neighbour: page 8 of 8" in worker.said
    failing = shop.request("failing", pages="many")
    await_that(lambda: shop.run_status(failing) == "failed")
    await_that(lambda: shop.run_status(kept) == "completed")
    assert shop.run_status(revoked) == "cancelled"
    assert worker.process.stop() == 0


def test_a_task_that_waits_in_the_worker_is_revoked(shop: Shop) -> None:
    """A worker fetches more than it can run: that too doesn't start any more."""
    worker = shop.worker()
    busy = [shop.request(f"busy{number}") for number in range(3)]
    for number in range(3):
        worker.await_words(f"order busy{number}: page 1")
    waiting = shop.request("waiting")
    worker.await_words(f"[{waiting}] received")
    shop.cancel("waiting")
    await_that(lambda: shop.result(waiting) == "REVOKED")
    for number in range(3):
        shop.cancel(f"busy{number}")
    await_that(lambda: {shop.result(task) for task in busy} == {"REVOKED"})
    last = shop.request("last", pages=1)
    await_that(lambda: shop.result(last) == "SUCCESS")
    assert "order waiting" not in worker.said


def test_without_processes_a_task_ends_at_its_next_look(shop: Shop) -> None:
    """In a pool of threads nothing can be terminated; the task itself sees that it is revoked."""
    worker = shop.worker("threads")
    revoked, kept = shop.request("thread"), shop.request("other-thread", pages=8)
    worker.await_words("order thread: page 1")
    worker.await_words("order other-thread: page 1")
    shop.cancel("thread")
    worker.await_words(f"[{revoked}] ignored")
    await_that(lambda: shop.result(revoked) == "REVOKED")
    assert "Traceback" not in worker.said
    await_that(lambda: shop.result(kept) == "SUCCESS")
    await_that(lambda: shop.run_status(kept) == "completed")
    assert worker.process.stop() == 0


def test_a_worker_that_can_not_know_takes_no_task(shop: Shop) -> None:
    """Without Kafka it ends, for its supervisor to try again, and the task stays queued."""
    waiting = shop.request("unknown", pages=1)
    lost = shop.worker(COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    assert lost.process.wait(PATIENCE_S) not in {0, None}
    assert "Kafka doesn't answer" in lost.said
    assert f"[{waiting}] received" not in lost.said
    shop.worker()
    await_that(lambda: shop.result(waiting) == "SUCCESS")
