"""A Celery app whose tasks Countermand revokes, whether they run, wait, or no worker is there."""

import functools
import json
import os
import time
import uuid
from typing import Any

from celery import Celery, Task, bootsteps
from celery.exceptions import Ignore
from celery.signals import task_failure, task_success
from celery.worker.request import Request
from celery.worker.state import requests, revoked
from confluent_kafka import Producer

from streams.kafka import clients
from streams.sdk import CancelledRun, RevocationView
from streams.settings import load
from topology import topics

FUNCTION = "shop-export"  # its app and id in functions.yaml
REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")

app = Celery("shop", broker=REDIS, backend=REDIS)
settings = load()


# Revoking: a task's id is its event's id.


def terminate(run: CancelledRun) -> None:
    """End the task of a cancelled run, if this worker has it."""
    if task := requests.get(run.event.id):
        worker = task.request_dict["hostname"]
        app.control.revoke(task.id, terminate=True, destination=[worker])


view = RevocationView(functions=[FUNCTION], since="7d", on_revoked=terminate)


class Revocable(Request):
    """A task that is looked up before it starts."""

    def revoked(self) -> bool:
        """Whether it must not start."""
        if view.is_cancelled(function_id=FUNCTION, event_id=self.id):
            revoked.add(self.id)
        return bool(super().revoked())

    def terminate(self, *args: object, **options: object) -> None:
        """End its process; where it has none, the task itself looks whether it is revoked."""
        try:
            super().terminate(*args, **options)
        except NotImplementedError:
            self.task.backend.mark_as_revoked(self.id, "revoked")


class Revocations(bootsteps.StartStopStep):
    """A worker takes no task before it knows what was cancelled; it ends if it can't know."""

    requires = ("celery.worker.components:Pool",)

    def create(self, _worker: object) -> RevocationView:
        """What starts and stops with the worker."""
        return view


app.steps["worker"].add(Revocations)


# The work, and telling Countermand of it.


@app.task(bind=True, Request=Revocable)
def export(self: Task, order_id: str, pages: int = 60) -> str:
    """Export an order, a page a second."""
    for page in range(pages):
        if self.request.id in revoked:  # in a pool of threads: there is no process to end
            raise Ignore
        print(f"order {order_id}: page {page + 1} of {pages}")
        time.sleep(1)
    return f"{order_id}.pdf"


def request_export(order_id: str, pages: int = 60) -> str:
    """Ask for an export; the id of its event and task."""
    id_ = str(uuid.uuid4())
    data = {"orderId": order_id}
    send(topics.EVENTS, {"name": "export/requested", "id": id_, "data": data})
    export.apply_async((order_id, pages), task_id=id_)
    return id_


@task_success.connect(sender=export)
def completed(sender: Task, **_: object) -> None:
    """Its run is no longer pending."""
    finish(sender.request.id, "completed")


@task_failure.connect(sender=export)
def failed(task_id: str, **_: object) -> None:
    """Neither is that of one that failed, or whose process died."""
    finish(task_id, "failed")


def finish(task_id: str, status: str) -> None:
    """Tell Countermand how a task ended."""
    send(topics.RUN_UPDATES, {"function_id": FUNCTION, "event_id": task_id, "status": status})


def send(topic: topics.TopicSpec, record: dict[str, Any]) -> None:
    """Put a record on one of Countermand's topics, and wait until it is there."""
    kafka = producer(os.getpid())
    kafka.produce(settings.topic(topic), json.dumps(record), on_delivery=check)
    if kafka.flush(10):
        raise TimeoutError("Kafka doesn't answer")


@functools.cache
def producer(_process: int) -> Producer:
    """The producer of a process: a Kafka client doesn't survive a fork."""
    return Producer(clients.librdkafka(settings, enable_idempotence=True))


def check(error: object, _message: object) -> None:
    """Raise what kept a record from its topic."""
    if error:
        raise RuntimeError(f"Kafka refuses: {error}")
