"""Commands on a real broker: send, tail, dead letters, functions, doctor."""

from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from streams.cli.exits import ExitCode
from streams.kafka.dead_letters import Origin, dead_letter
from streams.kafka.producers import Sender
from streams.kafka.tail import follow, read_all
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.cli import json_lines, json_of, run
from topology import topics

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def settings(kafka: str) -> Settings:
    """Settings with topics of this module alone, all made."""
    made = load(
        kafka_bootstrap_servers=kafka, topic_prefix=unique_name("commands") + ".", partitions=2
    )
    create_topics(made)
    return made


@pytest.fixture(scope="module")
def where(settings: Settings) -> dict[str, str]:
    """The same as variables for a command."""
    return {
        "kafka_bootstrap_servers": settings.kafka_bootstrap_servers,
        "topic_prefix": settings.topic_prefix,
        "partitions": "2",
    }


@pytest.fixture
def topic(settings: Settings) -> str:
    """An empty topic of one test."""
    name = unique_name("commands-own")
    own = settings.model_copy(update={"topic_prefix": name + "."})
    create_topics(own)
    return own.topic(topics.EVENTS)


def values(settings: Settings, topic: str) -> list[bytes | str | None]:
    """What a topic holds."""
    return [message.value() for message in read_all(settings, topic)]


def send_raw(settings: Settings, topic: str, value: bytes, *, commit: bool = True) -> None:
    """Produce one record in a transaction."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "transactional.id": unique_name("tx"),
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, value)
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def test_one_event_from_flags(settings: Settings, where: dict[str, str]) -> None:
    """It lies where the command says it does."""
    arguments = ["--name", "a/b", "--data", '{"x": 1}', "--id", "e1", "--key", "k"]
    sent = json_of(run("events", "send", *arguments, "--json", **where))
    assert sent["topic"] == settings.topic(topics.EVENTS)
    assert sent["sent"] == 1
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "g"})
    consumer.assign([TopicPartition(sent["topic"], sent["partition"], sent["offset"])])
    message: Message | None = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.key() == b"k"
    assert orjson.loads(message.value() or b"") == {"name": "a/b", "data": {"x": 1}, "id": "e1"}


def test_one_event_as_json_to_a_topic(
    settings: Settings, where: dict[str, str], topic: str
) -> None:
    """It is sent byte for byte."""
    event = '{"name":"a","data":{"n":1.0}}'
    assert run("events", "send", event, "--topic", topic, **where).exit_code == 0
    assert values(settings, topic) == [event.encode()]


def test_events_from_a_file(
    settings: Settings, where: dict[str, str], topic: str, tmp_path: Path
) -> None:
    """One per line, empty lines left out, all acknowledged."""
    lines = [b'{"name":"a","data":{"n":%d}}' % number for number in range(1_000)]
    (tmp_path / "events.jsonl").write_bytes(b"\n\n".join(lines) + b"\n")
    sent = run(
        "events", "send", "-f", str(tmp_path / "events.jsonl"), "--topic", topic, "--json", **where
    )
    assert json_of(sent) == {"topic": topic, "sent": 1_000}
    found = values(settings, topic)
    assert sorted(map(bytes, found)) == sorted(lines)  # type: ignore[arg-type]  # none is None


def test_events_from_stdin(settings: Settings, where: dict[str, str], topic: str) -> None:
    """`-` reads a pipe."""
    stdin = '{"name":"a"}\n{"name":"b"}\n'
    result = run("events", "send", "-f", "-", "--topic", topic, stdin=stdin, **where)
    assert result.exit_code == 0
    assert "2 sent" in result.stderr
    assert result.stdout == ""
    assert len(values(settings, topic)) == 2


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"data": {}}', '{"name": 1}'])
def test_a_line_that_is_no_event_is_refused_with_its_number(
    where: dict[str, str], topic: str, line: str
) -> None:
    """The number of the line says where to look."""
    stdin = f'{{"name":"a"}}\n{line}\n'
    result = run("events", "send", "-f", "-", "--topic", topic, stdin=stdin, **where)
    assert result.exit_code == ExitCode.REFUSED
    assert "-:2: " in result.stderr


def test_raw_sends_anything(settings: Settings, where: dict[str, str], topic: str) -> None:
    """A topic with a mapping has records of its own form."""
    result = run("events", "send", "nonsense", "--raw", "--topic", topic, **where)
    assert result.exit_code == 0
    assert values(settings, topic) == [b"nonsense"]


def test_a_missing_topic_is_not_made_by_accident(where: dict[str, str]) -> None:
    """Auto-creation would make it with the broker's defaults."""
    missing = unique_name("missing")
    for _ in range(2):
        result = run("events", "send", '{"name":"a"}', "--topic", missing, **where)
        assert result.exit_code == ExitCode.NOT_FOUND
    assert run("cancelled", "tail", topic_prefix=missing, **without_prefix(where)).exit_code == (
        ExitCode.NOT_FOUND
    )


def without_prefix(where: dict[str, str]) -> dict[str, str]:
    """All but the prefix."""
    return {name: value for name, value in where.items() if name != "topic_prefix"}


def cancelled(run_id: str, function: str) -> bytes:
    """A cancelled event."""
    return orjson.dumps(
        {
            "v": 1,
            "name": "function.cancelled",
            "id": run_id,
            "ts": 1_732_570_023_717,
            "data": {
                "function_id": function,
                "run_id": run_id,
                "cause": {
                    "type": "event",
                    "event": {"name": "a/cancelled"},
                    "rule": {"expression": "event.data.x == async.data.x"},
                },
            },
        }
    )


def test_tail_shows_committed_events_only(settings: Settings, where: dict[str, str]) -> None:
    """Aborted ones never were; --max ends it, --function filters."""
    topic = settings.topic(topics.CANCELLED)
    send_raw(settings, topic, cancelled("ABORTED", "f"), commit=False)
    send_raw(settings, topic, cancelled("OTHER", "g"))
    send_raw(settings, topic, cancelled("MINE", "f"))
    tail = ["cancelled", "tail", "--from-beginning", "--function", "f", "--max", "1"]
    events = json_lines(run(*tail, "--json", **where))
    assert [event["id"] for event in events] == ["MINE"]
    text = run(*tail, **where).stdout
    assert text == (
        "2024-11-25T21:27:03Z MINE f event a/cancelled [event.data.x == async.data.x]\n"
    )


def test_tail_ends_when_nothing_comes(where: dict[str, str]) -> None:
    """Exit code 1 says that fewer came than were asked for; without --max nothing was promised."""
    assert run("cancelled", "tail", "--timeout", "0.2", **where).exit_code == ExitCode.OK
    short = run("cancelled", "tail", "--timeout", "0.2", "--max", "1", **where)
    assert short.exit_code == ExitCode.FAILED


def test_following_sees_what_is_written_after_it_is_ready(settings: Settings, topic: str) -> None:
    """And nothing from before."""
    with Sender(settings) as sender:
        sender.send(topic, b"before")

    def write() -> None:
        with Sender(settings) as sender:
            sender.send(topic, b"after")

    seen = follow(settings, topic, on_ready=write)
    assert next(seen).value() == b"after"
    seen.close()  # type: ignore[attr-defined]  # a generator


@pytest.fixture
def letters(settings: Settings) -> tuple[Settings, str]:
    """Three dead letters: one to send again, one too large to keep, one of another topic."""
    own = settings.model_copy(update={"topic_prefix": unique_name("letters") + "."})
    create_topics(own)
    source = own.topic(topics.EVENTS)
    headers: list[tuple[str, bytes | None]] = [("trace", b"t1"), ("empty", None)]
    good = Origin(source, 0, 17, b"key", b"\xffnot json", headers)
    large = Origin(source, 1, 18, None, b"x" * 5_000, None)
    internal = Origin(own.topic(topics.COMMANDS), 0, 3, None, b"batch", None)
    with Sender(own) as sender:
        for origin, limit in ((good, 100_000), (large, 4_000), (internal, 100_000)):
            stage = "joiner" if origin is internal else "router"
            letter = dead_letter(origin, stage=stage, kind="bad_json", message="no", limit=limit)
            sender.send(
                own.topic(topics.DEAD_LETTERS), letter.value, key=letter.key, headers=letter.headers
            )
    return own, source


def variables(settings: Settings) -> dict[str, str]:
    """A command's variables for these settings."""
    return {
        "kafka_bootstrap_servers": settings.kafka_bootstrap_servers,
        "topic_prefix": settings.topic_prefix,
        "partitions": "2",
    }


def test_dead_letters_are_listed_with_their_reasons(letters: tuple[Settings, str]) -> None:
    """Where it came from, what was wrong, and the record's own headers; values only on request."""
    own, source = letters
    listed = json_lines(run("dead-letters", "list", "--json", **variables(own)))
    assert len(listed) == 3
    (good,) = [one for one in listed if one["key"] == "key"]
    assert good["error"] == {
        "topic": source,
        "partition": "0",
        "offset": "17",
        "stage": "router",
        "class": "bad_json",
        "message": "no",
    }
    assert good["headers"] == {"trace": "t1", "empty": ""}
    assert (good["bytes"], "value" in good) == (9, False)
    joiners = run("dead-letters", "list", "--stage", "joiner", "--json", **variables(own))
    assert len(json_lines(joiners)) == 1
    shown = run("dead-letters", "list", "--show-value", **variables(own)).stdout
    assert r"\xffnot json" in shown
    assert "trace=t1" in shown


def test_redrive_needs_agreement(letters: tuple[Settings, str]) -> None:
    """Without a terminal and without --yes nothing is sent; a dry run says what would be."""
    own, source = letters
    refused = run("dead-letters", "redrive", "--all", **variables(own))
    assert refused.exit_code == ExitCode.REFUSED
    assert "--yes" in refused.stderr
    dry = json_of(run("dead-letters", "redrive", "--all", "--dry-run", "--json", **variables(own)))
    assert dry == {
        "found": 3,
        "sent": 0,
        "skipped": 2,
        "topics": {source: 1},
        "dry_run": True,
    }
    assert values(own, source) == []


def test_redrive_sends_the_original_record(letters: tuple[Settings, str]) -> None:
    """Bytes, key and headers as they were; what is lost, or not ours to write, is left out."""
    own, source = letters
    done = run("dead-letters", "redrive", "--all", "--yes", **variables(own))
    assert done.exit_code == 0
    assert "its value was too large to keep" in done.stderr
    assert "its topic is not one that routers read" in done.stderr
    (message,) = read_all(own, source)
    assert (message.key(), message.value()) == (b"key", b"\xffnot json")
    assert message.headers() == [("trace", b"t1"), ("empty", None)]
    assert values(own, own.topic(topics.COMMANDS)) == []


def test_redrive_of_a_position(letters: tuple[Settings, str]) -> None:
    """One letter by the name that the list gives it; an unknown one is not found."""
    own, source = letters
    listed = json_lines(run("dead-letters", "list", "--json", **variables(own)))
    (position,) = [one["position"] for one in listed if one["key"] == "key"]
    missing = run("dead-letters", "redrive", "0:999", "--yes", **variables(own))
    assert missing.exit_code == ExitCode.NOT_FOUND
    assert run("dead-letters", "redrive", position, "--yes", **variables(own)).exit_code == 0
    assert len(values(own, source)) == 1


FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on:
      - {event: report/cancelled, match: data.id}
      - {event: account/closed, if: "async.data.hard == true", all_runs: true}
      - {event: maintenance/started, all_runs: true}
"""


def test_functions_are_applied_listed_and_deleted(where: dict[str, str]) -> None:
    """The difference says which rules are indexed and which must scan."""
    apply = ["functions", "apply", "-f", "-"]
    plan = run(*apply, "--dry-run", stdin=FUNCTIONS, **where)
    assert "+ reports-generate (new)" in plan.stdout
    assert "rule 0 on report/cancelled: indexed by data.id" in plan.stdout
    assert "rule 1 on account/closed: scans every run" in plan.stdout
    assert "rule 2 on maintenance/started: cancels every run" in plan.stdout
    assert json_of(run("functions", "list", "--json", **where)) == {"functions": []}
    (applied,) = json_of(run(*apply, "--json", stdin=FUNCTIONS, **where))["functions"]
    assert applied["change"] == "new"
    assert [rule["indexed"] for rule in applied["rules"]] == [True, False, False]
    again = run(*apply, stdin=FUNCTIONS, **where)
    assert "= reports-generate (unchanged)" in again.stdout
    (listed,) = json_of(run("functions", "list", "--json", **where))["functions"]
    assert listed["function_id"] == "reports-generate"
    refused = run("functions", "delete", "reports-generate", **where)
    assert refused.exit_code == ExitCode.REFUSED
    delete = ["functions", "delete", "reports-generate", "--yes"]
    assert json_of(run(*delete, "--json", **where)) == {"deleted": "reports-generate"}
    assert run(*delete, **where).exit_code == ExitCode.NOT_FOUND


def test_doctor_finds_all_well_and_leaves_nothing(
    settings: Settings, where: dict[str, str], tmp_path: Path
) -> None:
    """Broker, version, topics and clocks; its clock probe is never seen by a consumer."""
    own = settings.model_copy(update={"topic_prefix": unique_name("doctor") + "."})
    create_topics(own)
    arguments = {**without_prefix(where), "topic_prefix": own.topic_prefix}
    report = json_of(run("doctor", "--json", state_dir=str(tmp_path / "state"), **arguments))
    assert report["ok"]
    found = {check["name"]: check for check in report["checks"]}
    assert found["broker"]["verdict"] == found["topics"]["verdict"] == "ok"
    assert "Kafka 4.1" in found["version"]["found"]
    assert "the broker's clock is" in found["clocks"]["found"]
    assert values(own, own.topic(topics.CANCELLED)) == []
    assert list(tmp_path.iterdir()) == []


def test_doctor_names_what_mends(where: dict[str, str], tmp_path: Path) -> None:
    """Missing topics fail it, with the command."""
    arguments = {**without_prefix(where), "topic_prefix": unique_name("none") + "."}
    result = run("doctor", state_dir=str(tmp_path), **arguments)
    assert result.exit_code == ExitCode.FAILED
    assert "✗ topics" in result.stdout
    assert "countermand topics create" in result.stdout
