"""A view of revocations on a real broker: what it knows, from when on, and what it survives."""

import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    NewPartitions,
    NewTopic,
)

from streams.broker import LocalBroker
from streams.clock import now_ms
from streams.errors import KafkaRefusedError, NotFoundError, UnreachableError
from streams.kafka import clients
from streams.kafka.admin import describe_topics
from streams.kafka.producers import Sender
from streams.sdk.cancelled_run import CancelledRun
from streams.sdk.revocations import RevocationView, Waits
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.records import CAUSE, EVENT, run_id
from topology import limits
from topology.topics import CANCELLED

pytestmark = pytest.mark.broker
SLUG = "reports-generate"
TIMEOUT_S = 90


@pytest.fixture
def settings(kafka: str) -> Settings:
    """Settings with a topic `cancelled` of this test alone."""
    found = load(kafka_bootstrap_servers=kafka, topic_prefix=unique_name("view") + ".")
    make_topic(found)
    return found


def make_topic(settings: Settings) -> None:
    """Two partitions, whose records have the times that their producer gives them."""
    admin = AdminClient(clients.librdkafka(settings))
    config = {"message.timestamp.type": "CreateTime"}
    topic = NewTopic(settings.topic(CANCELLED), 2, 1, config=config)
    admin.create_topics([topic])[topic.topic].result(TIMEOUT_S)
    # Brokers show a topic a little after they have made it.
    eventually(lambda: describe_topics(admin, [topic.topic]))


def record(number: int, slug: str = SLUG) -> dict[str, Any]:
    """A `function.cancelled` event."""
    data = {
        "run_id": run_id(number),
        "function_id": slug,
        "event": EVENT | {"id": f"e{number}"},
        "cause": CAUSE,
        "run": {"status_before": "running", "last_step": None, "attempt": 1},
    }
    return {"v": 1, "name": "function.cancelled", "id": run_id(number), "ts": 1, "data": data}


def cancel(settings: Settings, *numbers: int, slug: str = SLUG, header: bool = True) -> None:
    """Put cancelled runs on the topic, as a joiner does."""
    with Sender(settings) as sender:
        for number in numbers:
            headers = [("function-id", slug)] if header else []
            value = orjson.dumps(record(number, slug))
            sender.send(
                settings.topic(CANCELLED), value, key=run_id(number).encode(), headers=headers
            )


def knows(view: RevocationView, number: int, slug: str = SLUG) -> bool:
    """Whether a view says that a run was cancelled; it must say the same of its event."""
    by_run = view.is_cancelled(run_id=run_id(number))
    assert by_run == view.is_cancelled(function_id=slug, event_id=f"e{number}")
    return by_run


def expect(view: RevocationView, number: int) -> None:
    """Wait until a view knows of a cancelled run; by its event it does a moment later."""
    by_event = {"function_id": SLUG, "event_id": f"e{number}"}
    eventually(lambda: view.is_cancelled(**by_event), TIMEOUT_S)
    assert knows(view, number)


def test_what_was_there_is_known_on_entering_and_what_comes_soon_after(settings: Settings) -> None:
    """The first question inside the block has its answer, wherever the run lay."""
    cancel(settings, *range(20))
    with RevocationView(settings) as view:
        assert [number for number in range(22) if knows(view, number)] == list(range(20))
        cancel(settings, 20)
        expect(view, 20)
        assert not knows(view, 21)


def test_every_start_knows_the_same(settings: Settings) -> None:
    """Nothing is taken from the topic, and another view, or the same again, starts as the first."""
    cancel(settings, 1, 2)
    view = RevocationView(settings)
    for _ in range(2):
        with view, RevocationView(settings) as other:
            assert knows(view, 1)
            assert knows(other, 2)
    with pytest.raises(RuntimeError, match="isn't entered"):
        view.is_cancelled(run_id=run_id(1))


def test_each_run_is_told_once(settings: Settings) -> None:
    """Runs found at the start are told before the block begins, later ones as they come."""
    told: list[CancelledRun] = []
    cancel(settings, 1, 2)
    with RevocationView(settings, on_revoked=told.append) as view:
        assert {run.run_id for run in told} == {run_id(1), run_id(2)}
        cancel(settings, 1, 3)
        expect(view, 3)
        cancel(settings, 4)
        expect(view, 4)
    assert sorted(run.event.id for run in told) == ["e1", "e2", "e3", "e4"]
    assert {run.cause["type"] for run in told} == {"event"}


def test_a_run_is_known_when_it_is_told(settings: Settings) -> None:
    """Whoever is told may ask at once, without a gap in which a task could slip through."""
    answers: list[bool] = []
    view = RevocationView(settings, on_revoked=lambda run: answers.append(ask(run)))

    def ask(run: CancelledRun) -> bool:
        return view.is_cancelled(function_id=run.function_id, event_id=run.event.id)

    cancel(settings, 1)
    with view:
        assert answers == [True]


def test_what_the_callback_raises_ends_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with the run, and the next run is told all the same."""
    told: list[str] = []

    def fail(run: CancelledRun) -> None:
        told.append(run.event.id)
        raise ValueError("no such task")

    cancel(settings, 1)
    with caplog.at_level(logging.ERROR), RevocationView(settings, on_revoked=fail) as view:
        cancel(settings, 2)
        expect(view, 2)
        eventually(lambda: len(told) == 2)
    assert caplog.messages.count("on_revoked failed") == 2
    assert "no such task" in caplog.text


@pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
def test_other_functions_are_left_out(settings: Settings, header: bool) -> None:
    """With functions named, nobody is told of others, and a question about one is a mistake."""
    told: list[CancelledRun] = []
    cancel(settings, 1, slug="others-one", header=header)
    cancel(settings, 2, header=header)
    with RevocationView(settings, functions=[SLUG], on_revoked=told.append) as view:
        assert [run.function_id for run in told] == [SLUG]
        assert not view.is_cancelled(run_id=run_id(1))
        assert knows(view, 2)
        with pytest.raises(ValueError, match="others-one is none of the functions"):
            view.is_cancelled(function_id="others-one", event_id="e1")


def test_only_as_far_back_as_asked(settings: Settings) -> None:
    """A start reads from the first record since then, in every partition."""
    now = now_ms()
    producer = Producer(clients.librdkafka(settings))
    for number, age_h in enumerate((50, 30, 20, 1)):
        producer.produce(
            settings.topic(CANCELLED),
            orjson.dumps(record(number)),
            partition=number % 2,
            timestamp=now - age_h * limits.HOUR_MS,
        )
    assert producer.flush(TIMEOUT_S) == 0
    with RevocationView(settings, since="24h") as view:
        assert [number for number in range(4) if knows(view, number)] == [2, 3]
    with RevocationView(settings, since="7d") as view:
        assert [number for number in range(4) if knows(view, number)] == [0, 1, 2, 3]


def test_only_what_is_committed_counts(settings: Settings) -> None:
    """A joiner's aborted transaction cancels nothing; one that is open holds nobody up."""
    config = {"transactional.id": unique_name("view"), "transaction.timeout.ms": 600_000}
    producer = Producer(clients.librdkafka(settings) | config)
    producer.init_transactions(TIMEOUT_S)
    topic = settings.topic(CANCELLED)
    producer.begin_transaction()
    producer.produce(topic, orjson.dumps(record(1)), partition=0)
    assert producer.flush(TIMEOUT_S) == 0
    producer.abort_transaction(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(topic, orjson.dumps(record(2)), partition=0)
    assert producer.flush(TIMEOUT_S) == 0
    with RevocationView(settings) as view:
        assert not knows(view, 1)
        assert not knows(view, 2)
        producer.commit_transaction(TIMEOUT_S)
        expect(view, 2)
        assert not knows(view, 1)


def test_what_is_no_cancelled_run_is_skipped_and_counted(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Garbage, a tombstone and odd headers neither end the thread nor flood the log."""
    topic = settings.topic(CANCELLED)
    with Sender(settings) as sender:
        sender.send(topic, b"\x00garbage", key=b"k")
        sender.send(topic, None, key=b"k")
        sender.send(topic, b"{}", key=b"k", headers=[("function-id", b"\xff"), ("x", None)])
    cancel(settings, 1)
    with caplog.at_level(logging.WARNING), RevocationView(settings) as view:
        assert view.unreadable == 3
        assert knows(view, 1)
    assert caplog.messages.count("A record is skipped") == 1


def test_partitions_added_later_are_followed(settings: Settings) -> None:
    """Also what was written there before anybody had noticed."""
    topic = settings.topic(CANCELLED)
    with RevocationView(settings, waits=Waits(tend_s=0.05)) as view:
        admin = AdminClient(clients.librdkafka(settings))
        admin.create_partitions([NewPartitions(topic, 4)])[topic].result(TIMEOUT_S)
        producer = Producer(clients.librdkafka(settings))
        eventually(lambda: len(producer.list_topics(topic).topics[topic].partitions) == 4)
        for number in range(4):
            producer.produce(topic, orjson.dumps(record(number)), partition=number)
        assert producer.flush(TIMEOUT_S) == 0
        for number in range(4):
            expect(view, number)


def test_a_missing_topic_is_named(kafka: str) -> None:
    """Entering says which topic is missing and what makes it."""
    settings = load(kafka_bootstrap_servers=kafka, topic_prefix=unique_name("view") + ".")
    with pytest.raises(NotFoundError, match="topics create"), RevocationView(settings):
        pass


def test_brokers_that_do_not_answer_are_an_error_on_entering() -> None:
    """A worker doesn't start believing that nothing was cancelled."""
    settings = load(kafka_bootstrap_servers="127.0.0.1:9", topic_prefix="view.")
    with pytest.raises(UnreachableError, match="Is it up"), RevocationView(settings):
        pass


def test_the_end_of_the_thread_is_told_to_whoever_asks(settings: Settings) -> None:
    """No question is answered from what nobody keeps up to date."""
    cancel(settings, 1)
    with FailingView(settings) as view:
        cancel(settings, 2)
        eventually(lambda: view._failure)
        for ask in (view.check, lambda: view.is_cancelled(run_id=run_id(1))):
            with pytest.raises(KafkaRefusedError, match="isn't followed any more: broken"):
                ask()


class FailingView(RevocationView):
    """A view whose thread fails at run 2, as nothing should."""

    def _learn(self, run: CancelledRun, at: int) -> None:
        if run.event.id == "e2":
            raise MemoryError("broken")
        super()._learn(run, at)


def test_a_callback_that_ends_the_thread_is_told_to_whoever_asks(settings: Settings) -> None:
    """`sys.exit()` ends a thread in silence: the view must not go on answering without it."""

    def leave(run: CancelledRun) -> None:
        if run.event.id == "e2":
            raise SystemExit("enough")

    cancel(settings, 1)
    with RevocationView(settings, on_revoked=leave) as view:
        cancel(settings, 2)
        eventually(lambda: view._failure)
        with pytest.raises(KafkaRefusedError, match="isn't followed any more: enough"):
            view.is_cancelled(run_id=run_id(1))


@pytest.mark.parametrize(
    "question",
    [{}, {"run_id": run_id(1), "event_id": "e"}, {"function_id": SLUG}, {"event_id": "e"}],
)
def test_half_a_question_is_refused(settings: Settings, question: dict[str, str]) -> None:
    """A run has an id, or a function and an event; `False` would be a lie about anything less."""
    with RevocationView(settings) as view, pytest.raises(ValueError, match="give either run_id"):
        view.is_cancelled(**question)


def test_a_fork_does_not_answer(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child has what its parent knew, and no thread that goes on: it must not be asked."""
    with RevocationView(settings) as view:
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: 1)
            with pytest.raises(RuntimeError, match="by another process"):
                view.is_cancelled(run_id=run_id(1))
        assert not knows(view, 1)


def test_a_cluster_that_falls_silent_while_entering_is_an_error(settings: Settings) -> None:
    """Entering ends some time, also where the brokers answer questions but send no records."""
    view = RevocationView(settings, waits=Waits(silence_s=-1))
    with pytest.raises(UnreachableError, match="has sent nothing"), view:
        pass


def test_many_threads_may_ask(settings: Settings) -> None:
    """While runs come in, every thread gets the right answer about those that it knows of."""
    cancel(settings, 0)
    wrong: list[int] = []
    with RevocationView(settings) as view:
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                if not knows(view, 0) or view.is_cancelled(run_id=run_id(10_000)):
                    wrong.append(1)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        cancel(settings, *range(1, 200))
        expect(view, 199)
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.fixture
def own_broker(prepared_cache: None) -> Iterator[LocalBroker]:
    """A broker that this test may stop."""
    with LocalBroker() as broker:
        yield broker


@pytest.mark.slow
def test_it_goes_on_after_the_broker_was_away(own_broker: LocalBroker) -> None:
    """What it knew it still says while the broker is away; what is cancelled later it learns."""
    settings = load(kafka_bootstrap_servers=own_broker.bootstrap_servers, topic_prefix="view.")
    make_topic(settings)
    cancel(settings, 1)
    with RevocationView(settings) as view:
        own_broker.stop()
        assert knows(view, 1)
        own_broker.start()
        cancel(settings, 2)
        expect(view, 2)
        assert knows(view, 1)
