"""`/v1/dead-letters` on a real broker: listed, shown, sent again, each call within its bounds."""

import base64
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from sqlalchemy import select

from streams.api.call.roles import Role
from streams.api.routes.dead_letters import MOST_SENT
from streams.database.schema import AUDIT
from streams.durations import format_instant
from streams.errors import UnreachableError
from streams.kafka.dead_letters import Letter, Origin, Wanted, dead_letter
from streams.kafka.letter_search import Bounds, Found, newest, portion, ranges_of
from streams.kafka.ranges import RangeReader, Ranges
from streams.kafka.tail import read_all
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.api import Api, open_api
from tests.support.broker import unique_name
from topology import topics
from topology.records import EVALUATION_BUDGET

pytestmark = [pytest.mark.broker]
PATH = "/v1/dead-letters"
REDRIVE = f"{PATH}/redrive"
BEGAN = 1_700_000_000_000
PARTITIONS = 3


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    """Settings of one test, with its topics made."""
    name = unique_name("letters-api")
    found = load(
        kafka_bootstrap_servers=kafka,
        topic_prefix=f"{name}.",
        application_id=name,
        partitions=PARTITIONS,
        state_dir=tmp_path,
    )
    create_topics(found)
    return found


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """The API on these topics."""
    with open_api(settings) as found:
        yield found


class Writer:
    """Writes dead letters, in transactions as joiners do; the n-th is n seconds younger."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._numbers = itertools.count()
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap_servers,
                "transactional.id": unique_name("letters"),
                "log_level": 0,
            }
        )
        self._producer.init_transactions()

    def write(  # noqa: PLR0913  # each is another part of what a letter says
        self,
        count: int = 1,
        *,
        origin: Origin | None = None,
        stage: str = "router",
        kind: str = "no_json",
        limit: int = 100_000,
        commit: bool = True,
    ) -> list[str]:
        """Write some in one transaction; their values."""
        values = []
        self._producer.begin_transaction()
        for number in itertools.islice(self._numbers, count):
            value = f"v{number}".encode()
            source = origin or Origin(self._settings.topic(topics.EVENTS), 0, number, b"k", value)
            letter = dead_letter(source, stage=stage, kind=kind, message="why", limit=limit)
            self._producer.produce(
                self._settings.topic(topics.DEAD_LETTERS),
                letter.value,
                letter.key,
                # Partitions take turns of different lengths.
                partition=number // 2 % PARTITIONS,
                timestamp=BEGAN + number * 1_000,
                headers=list(letter.headers),
            )
            values.append(value.decode())
        if commit:
            self._producer.commit_transaction()
        else:
            self._producer.flush()
            self._producer.abort_transaction()
        return values


@pytest.fixture
def writer(settings: Settings) -> Writer:
    """Who writes dead letters."""
    return Writer(settings)


def pages(api: Api, **asked: Any) -> list[list[Any]]:
    """All pages of a list."""
    page = api.get(PATH, **asked)
    found = [page["data"]]
    while cursor := page["metadata"]["next_cursor"]:
        page = api.get(PATH, **asked, cursor=cursor)
        found.append(page["data"])
    return found


def listed(api: Api, **asked: Any) -> list[int]:
    """The offsets in their topic of the records whose letters are listed, over all pages."""
    return [one["origin"]["offset"] for page in pages(api, **asked) for one in page]


def sent(settings: Settings) -> list[str]:
    """What lies in the input topic."""
    messages = read_all(settings, settings.topic(topics.EVENTS))
    return [(message.value() or b"").decode() for message in messages]


def redriven(api: Api, body: Any, **more: Any) -> Any:
    """The answer to a redrive that goes well."""
    answer = api.post(REDRIVE, body, role=Role.OPERATOR, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def text_of(seconds: int) -> str:
    """The time of the letter with that number."""
    return format_instant(BEGAN + seconds * 1_000)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_the_newest_come_first(api: Api, writer: Writer, limit: int) -> None:
    """Over all partitions and pages, none twice and none left out; what was undone isn't there."""
    for count in (1, 2, 30, 3):
        writer.write(count)
        writer.write(2, commit=False)
    writer.write(5)
    found = pages(api, limit=limit)
    offsets = [one["origin"]["offset"] for page in found for one in page]
    undone = {1, 2, 5, 6, 37, 38, 42, 43}
    # Of one partition two have no other between them, so the order by time is a total one.
    assert offsets == [number for number in reversed(range(49)) if number not in undone]
    assert max(map(len, found)) <= limit


def test_letters_that_come_later_change_no_page(api: Api, writer: Writer) -> None:
    """A cursor leads to what is older than its page."""
    writer.write(20)
    first = api.get(PATH, limit=5)
    writer.write(20)
    rest = api.get(PATH, limit=100, cursor=first["metadata"]["next_cursor"])["data"]
    assert [one["origin"]["offset"] for one in rest] == list(reversed(range(15)))


def test_filters(api: Api, settings: Settings, writer: Writer) -> None:
    """By class, topic, stage and time; bounds are exclusive."""
    writer.write(4)
    writer.write(4, kind="bad_id", stage="joiner")
    writer.write(1, origin=Origin("other", 0, 99, None, b"x"))
    events = settings.topic(topics.EVENTS)
    assert listed(api, **{"class": "bad_id"}) == [7, 6, 5, 4]
    assert listed(api, stage="router", topic=events) == [3, 2, 1, 0]
    assert listed(api, topic="other") == [99]
    assert listed(api, after=text_of(2), before=text_of(6)) == [5, 4, 3]
    assert listed(api, after=text_of(2), limit=2) == [99, 7, 6, 5, 4, 3]
    assert listed(api, after="1970-01-02T00:00:00Z", before=text_of(1)) == [0]
    assert listed(api, after=text_of(100)) == listed(api, **{"class": "none"}) == []


def test_no_letters(api: Api) -> None:
    """An empty topic has one empty page, and nothing to send."""
    assert pages(api) == [[]]
    assert redriven(api, {"class": "no_json"})["data"]["found"] == 0


def test_a_letter_is_shown_whole(api: Api, settings: Settings, writer: Writer) -> None:
    """Bytes as text where they are text, else in base64; no bytes are null, and not empty text."""
    headers: list[tuple[str, bytes | None]] = [("trace", b"t\xff"), ("trace", b""), ("none", None)]
    events = settings.topic(topics.EVENTS)
    writer.write(1, origin=Origin(events, 2, 17, None, b"\xffnot json", headers), kind="no_json")
    (short,) = api.get(PATH)["data"]
    whole = api.get(f"{PATH}/{short['partition']}/{short['offset']}")["data"]
    assert whole.items() >= short.items()
    assert short.items() >= {
        "origin": {"topic": events, "partition": 2, "offset": 17}, "stage": "router",
        "class": "no_json", "message": "why", "bytes": 9, "not_redrivable": None,
        "time": "2023-11-14T22:13:20.000Z",
    }.items()  # fmt: skip
    assert whole["key"] is None
    assert base64.b64decode(whole["value"]["base64"]) == b"\xffnot json"
    assert whole["value"]["text"] is None
    assert whole["headers"] == [
        {"name": "trace", "value": {"text": None, "base64": "dP8="}},
        {"name": "trace", "value": {"text": "", "base64": None}},
        {"name": "none", "value": None},
    ]


def test_where_no_letter_lies(api: Api, writer: Writer) -> None:
    """An unknown partition, before the end, behind it, or the end of a transaction."""
    writer.write(1)
    for place in ("0/1", "0/2", f"0/{(1 << 63) - 1}", "1/0", "9/0"):
        answer = api.call("GET", f"{PATH}/{place}")
        assert (answer.status_code, answer.json()["code"]) == (404, "letter_not_found"), place
    assert api.call("GET", f"{PATH}/0/0").status_code == 200


def test_a_class_is_counted_and_then_sent(api: Api, settings: Settings, writer: Writer) -> None:
    """A dry run sends nothing; its cursor names what it counted, and nothing that came later."""
    counted = writer.write(12)
    writer.write(3, kind="other")
    dry = redriven(api, {"class": "no_json", "dry_run": True})
    topic = settings.topic(topics.EVENTS)
    assert dry["data"] == {
        "found": 12, "sent": 0, "skipped": 0, "why_skipped": {}, "topics": {topic: 12},
        "dry_run": True,
    }  # fmt: skip
    assert dry["metadata"]["next_cursor"] is None
    assert sent(settings) == []
    writer.write(4)
    body = {"class": "no_json", "cursor": dry["metadata"]["cursor"], "reason": "mended"}
    done = redriven(api, body)
    assert done["data"] == dry["data"] | {"sent": 12, "dry_run": False}
    assert sorted(sent(settings)) == sorted(counted)
    with api.service.engine.connect() as connection:
        rows = list(connection.execute(select(AUDIT).order_by(AUDIT.c.id)).mappings())
    found = [[row[name] for name in ("action", "target", "dry_run", "reason", "outcome")]
        for row in rows]  # fmt: skip
    assert found == [
        ["redriveDeadLetters", "no_json", True, None, "done"],
        ["redriveDeadLetters", "no_json", False, "mended", "done"],
    ]


def test_records_are_sent_as_they_were(api: Api, settings: Settings, writer: Writer) -> None:
    """Bytes, key and headers; letters stay listed, and the same call with its key sends no more."""
    headers: list[tuple[str, bytes | None]] = [("trace", b"t1"), ("empty", None)]
    events = settings.topic(topics.EVENTS)
    writer.write(1, origin=Origin(events, 0, 5, b"key", b"\xff", headers))
    writer.write(1)
    once = {"Idempotency-Key": "once"}
    first = redriven(api, {"letters": ["0:0", "0:0"]}, headers=once)
    assert first["data"].items() >= {"found": 1, "sent": 1}.items()
    assert redriven(api, {"letters": ["0:0", "0:0"]}, headers=once) == first
    (message,) = read_all(settings, events)
    assert (message.key(), message.value()) == (b"key", b"\xff")
    assert message.headers() == headers
    assert len(listed(api)) == 2


def test_what_can_not_be_sent(api: Api, settings: Settings, writer: Writer) -> None:
    """Each with its reason: not ours to write, lost, or as expensive again."""
    events = settings.topic(topics.EVENTS)
    writer.write(1, origin=Origin(settings.topic(topics.COMMANDS), 0, 1, None, b"x"))
    writer.write(1, origin=Origin(events, 0, 2, None, b"x" * 5_000), limit=4_000)
    writer.write(2, kind=EVALUATION_BUDGET)
    skipped = redriven(api, {"class": "no_json"})["data"]
    assert (skipped["found"], skipped["sent"], skipped["skipped"]) == (2, 0, 2)
    assert list(skipped["why_skipped"].values()) == [1, 1]
    budget = redriven(api, {"class": EVALUATION_BUDGET})["data"]
    assert (budget["found"], budget["sent"], budget["topics"]) == (2, 0, {})
    (why,) = budget["why_skipped"]
    shown = api.get(PATH, **{"class": EVALUATION_BUDGET})["data"]
    assert {one["not_redrivable"] for one in shown} == {why}
    assert sent(settings) == []


def test_a_missing_letter_stops_all(api: Api, settings: Settings, writer: Writer) -> None:
    """Who names one that isn't there may have mistaken the others too."""
    writer.write(1)
    answer = api.post(REDRIVE, {"letters": ["0:0", "1:7", "9:0"]})
    assert (answer.status_code, answer.json()["code"]) == (404, "letter_not_found")
    assert "1:7, 9:0" in answer.json()["detail"]
    assert sent(settings) == []


def test_many_are_sent_in_portions(api: Api, settings: Settings, writer: Writer) -> None:
    """Each call sends so many; its cursor goes on, and nothing is lost or sent twice."""
    wanted = writer.write(MOST_SENT + 200)
    first = redriven(api, {"class": "no_json"})
    assert first["data"]["sent"] == MOST_SENT
    cursor = first["metadata"]["next_cursor"]
    second = redriven(api, {"class": "no_json", "cursor": cursor})
    assert (second["data"]["sent"], second["metadata"]["next_cursor"]) == (200, None)
    assert Counter(sent(settings)) == Counter(wanted)


def test_a_missing_topic_is_named(api: Api, settings: Settings) -> None:
    """With the command that makes it."""
    with open_api(settings.model_copy(update={"topic_prefix": "nobodys."})) as other:
        answer = other.call("GET", PATH)
    assert (answer.status_code, answer.json()["code"]) == (503, "topic_missing")
    assert "nobodys.dead-letters" in answer.json()["detail"]
    assert "topics create" in answer.json()["detail"]


def page_of(
    settings: Settings, cursor: Ranges | None, bounds: Bounds, kind: str = "no_json"
) -> Found[int]:
    """A page with the bounds of a test: the offsets of the records."""
    wanted = Wanted(kind=kind)
    with RangeReader(settings, settings.topic(topics.DEAD_LETTERS)) as reader:
        ranges = ranges_of(reader, wanted, cursor)
        return newest(
            reader, wanted, ranges, 100, show=lambda one: int(one.error["offset"]), bounds=bounds
        )


@pytest.mark.parametrize("bounds", [Bounds(letters=10), Bounds(bytes=1_000)])
def test_a_page_ends_early(settings: Settings, writer: Writer, bounds: Bounds) -> None:
    """Also where none fits a call ends, and the next one goes on."""
    writer.write(1)
    writer.write(150, kind="other")
    calls = [page_of(settings, None, bounds)]
    while left := calls[-1].left:
        calls.append(page_of(settings, left, bounds))
    # The first round of a call has 64 offsets at most.
    assert all(call.scanned <= 64 for call in calls)
    assert len(calls) > 2
    assert [offset for call in calls for offset in call.letters] == [0]


def portion_of(settings: Settings, cursor: Ranges | None, bounds: Bounds) -> Found[Letter]:
    """A portion with the bounds of a test."""
    with RangeReader(settings, settings.topic(topics.DEAD_LETTERS)) as reader:
        wanted = Wanted()
        return portion(reader, wanted, ranges_of(reader, wanted, cursor), 100, bounds)


@pytest.mark.parametrize("bounds", [Bounds(letters=10), Bounds(bytes=300)])
def test_a_portion_ends_early(settings: Settings, writer: Writer, bounds: Bounds) -> None:
    """After so many letters or bytes; all portions together are all there is, once."""
    wanted = writer.write(40)
    calls = [portion_of(settings, None, bounds)]
    while left := calls[-1].left:
        calls.append(portion_of(settings, left, bounds))
    assert all(len(call.letters) <= 13 for call in calls)
    values = [(letter.value or b"").decode() for call in calls for letter in call.letters]
    assert sorted(values) == sorted(wanted)


def test_a_call_without_time_says_so(settings: Settings, writer: Writer) -> None:
    """Kafka was too slow for anything: an empty page would say that nothing is there."""
    writer.write(3)
    topic = settings.topic(topics.DEAD_LETTERS)
    ranges = {0: (0, 2)}
    with RangeReader(settings, topic, within_s=0) as reader:
        with pytest.raises(UnreachableError, match="within 0 s"):
            reader.bounds()
        with pytest.raises(UnreachableError, match=topic):
            newest(reader, Wanted(), ranges, 10, show=lambda one: one.position)
        with pytest.raises(UnreachableError, match=topic):
            portion(reader, Wanted(), ranges, 10)
