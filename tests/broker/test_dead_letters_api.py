"""`/v1/dead-letters` on a real broker: listed, shown, sent again, each call within its bounds.

All tests share the topics: each has classes of its own for its letters.
"""

import base64
import html
import itertools
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Message, Producer
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
from tests.support.deadline import eventually
from tests.support.visiting import Visit
from topology import topics
from topology.records import EVALUATION_BUDGET

pytestmark = [pytest.mark.broker]
PATH = "/v1/dead-letters"
CLASSES = f"{PATH}/classes"
REDRIVE = f"{PATH}/redrive"
BEGAN = 1_700_000_000_000
PARTITIONS = 3


@pytest.fixture(scope="module")
def settings(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings, with the topics made."""
    name = unique_name("letters-api")
    found = load(
        kafka_bootstrap_servers=kafka,
        topic_prefix=f"{name}.",
        application_id=name,
        partitions=PARTITIONS,
        state_dir=tmp_path_factory.mktemp("letters"),
    )
    create_topics(found)
    return found


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """The API on these topics."""
    with open_api(settings) as found:
        yield found


class Writer:
    """Writes dead letters, in transactions as joiners do; number n is n seconds younger."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._numbers = itertools.count()
        # The partition and offset of each letter, by its number.
        self.places: dict[int, tuple[int, int]] = {}
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
        kind: str,
        count: int = 1,
        *,
        origin: Origin | None = None,
        stage: str = "router",
        limit: int = 100_000,
        commit: bool = True,
    ) -> list[int]:
        """Write some in one transaction, until readers see how it ended; their numbers."""
        numbers = list(itertools.islice(self._numbers, count))
        self._producer.begin_transaction()
        for number in numbers:
            source = origin or Origin(
                self._settings.topic(topics.EVENTS), 0, number, b"k", value_of(number).encode()
            )
            letter = dead_letter(source, stage=stage, kind=kind, message="why", limit=limit)
            self._producer.produce(
                self._settings.topic(topics.DEAD_LETTERS),
                letter.value,
                letter.key,
                # Partitions take turns of different lengths.
                partition=number // 2 % PARTITIONS,
                timestamp=BEGAN + number * 1_000,
                headers=list(letter.headers),
                on_delivery=partial(self._delivered, number),
            )
        if commit:
            self._producer.commit_transaction()
        else:
            self._producer.flush()
            self._producer.abort_transaction()
        eventually(lambda: self._is_over(numbers))
        return numbers

    def place(self, number: int) -> str:
        """Where a letter lies, as a redrive names it."""
        partition, offset = self.places[number]
        return f"{partition}:{offset}"

    def ranges(self, numbers: list[int]) -> Ranges:
        """Where letters lie, and the ends of their transactions."""
        found: Ranges = {}
        for partition, offset in map(self.places.__getitem__, numbers):
            begin, end = found.get(partition, (offset, offset))
            found[partition] = (min(begin, offset), max(end, offset + 2))
        return found

    def _delivered(self, number: int, _error: object, message: Message) -> None:
        self.places[number] = (message.partition() or 0, message.offset() or 0)

    def _is_over(self, numbers: list[int]) -> bool:
        """Whether the letters' transaction is over in each partition: brokers do that later."""
        with RangeReader(self._settings, self._settings.topic(topics.DEAD_LETTERS)) as reader:
            bounds = reader.bounds()
        # Behind the letters lies the end of their transaction.
        places = [self.places[number] for number in numbers]
        return all(bounds[partition][1] > offset + 1 for partition, offset in places)


@pytest.fixture(scope="module")
def writer(settings: Settings) -> Writer:
    """Who writes dead letters."""
    return Writer(settings)


def value_of(number: int) -> str:
    """The value of the record for whom a letter stands."""
    return f"v{number}"


def pages(api: Api, kind: str | None, **asked: Any) -> list[list[Any]]:
    """All pages of a list of a class."""
    params = asked if kind is None else asked | {"class": kind}
    page = api.get(PATH, **params)
    found = [page["data"]]
    while cursor := page["metadata"]["next_cursor"]:
        page = api.get(PATH, **params, cursor=cursor)
        found.append(page["data"])
    return found


def listed(api: Api, kind: str | None, **asked: Any) -> list[int]:
    """The offsets in their topic of the records whose letters are listed, over all pages."""
    return [one["origin"]["offset"] for page in pages(api, kind, **asked) for one in page]


def sent(settings: Settings) -> Counter[str]:
    """What lies in the input topic."""
    messages = read_all(settings, settings.topic(topics.EVENTS))
    return Counter((message.value() or b"").decode(errors="replace") for message in messages)


def redriven(api: Api, body: Any, **more: Any) -> Any:
    """The answer to a redrive that goes well."""
    answer = api.post(REDRIVE, body, role=Role.OPERATOR, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def time_of(number: int) -> str:
    """The time of the letter with that number."""
    return format_instant(BEGAN + number * 1_000)


def test_the_newest_come_first(api: Api, writer: Writer) -> None:
    """Over all partitions and pages, none twice and none left out; what was undone isn't there."""
    wanted = []
    for count in (1, 2, 20, 3):
        wanted += writer.write("newest", count)
        writer.write("newest", 2, commit=False)
    for limit in (3, 100):
        found = pages(api, "newest", limit=limit)
        # Of one partition two have no other between them, so the order by time is a total one.
        assert [one["origin"]["offset"] for page in found for one in page] == wanted[::-1]
        assert max(map(len, found)) <= limit


def test_letters_that_come_later_change_no_page(api: Api, writer: Writer) -> None:
    """A cursor leads to what is older than its page."""
    before = writer.write("later", 20)
    first = api.get(PATH, **{"class": "later", "limit": 5})
    writer.write("later", 20)
    rest = listed(api, "later", limit=100, cursor=first["metadata"]["next_cursor"])
    assert rest == before[-6::-1]


def test_filters(api: Api, settings: Settings, writer: Writer) -> None:
    """By class, topic, stage and time; bounds are exclusive."""
    events = settings.topic(topics.EVENTS)
    first = writer.write("filter", 4)
    bad = writer.write("bad_id", 4, stage="joiner")
    writer.write("filter", origin=Origin("other", 0, 99, None, b"x"))
    since = {"after": time_of(first[0] - 1)}
    assert listed(api, "bad_id") == bad[::-1]
    assert listed(api, None, **since, stage="joiner") == bad[::-1]
    assert listed(api, "filter", topic=events, stage="router") == first[::-1]
    assert listed(api, None, topic="other", **since) == [99]
    middle = {"after": time_of(first[2]), "before": time_of(bad[2])}
    assert listed(api, None, **middle) == [bad[1], bad[0], first[3]]
    assert listed(api, None, after=time_of(first[2]), limit=2)[-3:] == [bad[1], bad[0], first[3]]
    assert listed(api, None, after="1970-01-02T00:00:00Z", before=time_of(0)) == []
    assert listed(api, None, after="2100-01-01T00:00:00Z") == listed(api, "none") == []


def test_a_letter_is_shown_whole(api: Api, settings: Settings, writer: Writer) -> None:
    """Bytes as text where they are text, else in base64; no bytes are null, and not empty text."""
    headers: list[tuple[str, bytes | None]] = [("trace", b"t\xff"), ("trace", b""), ("none", None)]
    events = settings.topic(topics.EVENTS)
    [number] = writer.write("whole", origin=Origin(events, 2, 17, None, b"\xffnot json", headers))
    [[short]] = pages(api, "whole")
    whole = api.get(f"{PATH}/{short['partition']}/{short['offset']}")["data"]
    assert whole.items() >= short.items()
    assert short.items() >= {
        "origin": {"topic": events, "partition": 2, "offset": 17}, "stage": "router",
        "class": "whole", "message": "why", "bytes": 9, "not_redrivable": None,
    }.items()  # fmt: skip
    assert (short["partition"], short["offset"]) == writer.places[number]
    assert short["time"] == time_of(number).replace("Z", ".000Z")
    assert whole["key"] is None
    assert base64.b64decode(whole["value"]["base64"]) == b"\xffnot json"
    assert whole["value"]["text"] is None
    assert whole["headers"] == [
        {"name": "trace", "value": {"text": None, "base64": "dP8="}},
        {"name": "trace", "value": {"text": "", "base64": None}},
        {"name": "none", "value": None},
    ]


def test_where_no_letter_lies(api: Api, writer: Writer) -> None:
    """The end of a transaction, behind the end of a partition, or an unknown partition."""
    [number] = writer.write("place")
    partition, offset = writer.places[number]
    for place in (f"{partition}/{offset + 1}", f"{partition}/{offset + 2}", "0/99999", "9/0"):
        answer = api.call("GET", f"{PATH}/{place}")
        assert (answer.status_code, answer.json()["code"]) == (404, "letter_not_found"), place
    assert api.call("GET", f"{PATH}/{partition}/{offset}").status_code == 200


def test_a_class_is_counted_and_then_sent(api: Api, settings: Settings, writer: Writer) -> None:
    """A dry run sends nothing; its cursor names what it counted, and nothing that came later."""
    counted = writer.write("count", 12)
    writer.write("count-not", 3)
    dry = redriven(api, {"class": "count", "dry_run": True})
    topic = settings.topic(topics.EVENTS)
    assert dry["data"] == {
        "found": 12, "sent": 0, "skipped": 0, "why_skipped": {}, "topics": {topic: 12},
        "dry_run": True,
    }  # fmt: skip
    assert dry["metadata"]["next_cursor"] is None
    later = writer.write("count", 4)
    body = {"class": "count", "cursor": dry["metadata"]["cursor"], "reason": "mended"}
    done = redriven(api, body)
    assert done["data"] == dry["data"] | {"sent": 12, "dry_run": False}
    found = sent(settings)
    assert [found[value_of(one)] for one in (*counted, *later)] == [1] * 12 + [0] * 4
    query = select(AUDIT).where(AUDIT.c.target == "count").order_by(AUDIT.c.id)
    with api.service.engine.connect() as connection:
        rows = list(connection.execute(query).mappings())
    assert [[row[name] for name in ("action", "dry_run", "reason", "outcome")] for row in rows] == [
        ["redriveDeadLetters", True, None, "done"],
        ["redriveDeadLetters", False, "mended", "done"],
    ]


def test_classes_are_counted(api: Api, settings: Settings, writer: Writer) -> None:
    """With how many can be sent again; the cursor means what was counted, even if nothing was."""
    first, *_ = writer.write("count-a", 3)
    since = {"after": time_of(first - 1)}
    state = Origin(settings.topic(topics.STATE), 0, 1, None, b"x")
    _, last = writer.write("count-b", 2, origin=state)
    counts = api.get(CLASSES, **since, before=time_of(last + 1))
    assert counts["data"] == [
        {"class": "count-a", "letters": 3, "redrivable": 3},
        {"class": "count-b", "letters": 2, "redrivable": 0},
    ]
    assert counts["metadata"]["next_cursor"] is None
    nothing = api.get(CLASSES, after="2100-01-01T00:00:00Z")
    assert nothing["data"] == []
    writer.write("count-a", 4)
    again = api.get(CLASSES, **{"class": "count-a", "cursor": counts["metadata"]["cursor"]})
    assert again["data"] == counts["data"][:1]
    for found, cursor in ((3, counts["metadata"]["cursor"]), (0, nothing["metadata"]["cursor"])):
        body = {"class": "count-a", "cursor": cursor, "dry_run": True}
        assert redriven(api, body)["data"]["found"] == found


def test_records_are_sent_as_they_were(api: Api, settings: Settings, writer: Writer) -> None:
    """Bytes, key and headers; letters stay listed, and the same call with its key sends no more."""
    headers: list[tuple[str, bytes | None]] = [("trace", b"t1"), ("empty", None)]
    events = settings.topic(topics.EVENTS)
    [number] = writer.write("same", origin=Origin(events, 0, 5, b"as-it-was", b"\xff", headers))
    body = {"letters": [writer.place(number)] * 2}
    once = {"Idempotency-Key": "once"}
    first = redriven(api, body, headers=once)
    assert first["data"].items() >= {"found": 1, "sent": 1}.items()
    assert first["metadata"]["cursor"] is None
    assert redriven(api, body, headers=once) == first
    found = [one for one in read_all(settings, events) if one.key() == b"as-it-was"]
    assert [(one.value(), one.headers()) for one in found] == [(b"\xff", headers)]
    assert listed(api, "same") == [5]


def test_what_can_not_be_sent(api: Api, settings: Settings, writer: Writer) -> None:
    """Each with its reason: not ours to write, lost, or as expensive again."""
    events = settings.topic(topics.EVENTS)
    writer.write("lost", origin=Origin(settings.topic(topics.COMMANDS), 0, 1, None, b"x"))
    writer.write("lost", origin=Origin(events, 0, 2, None, b"y" * 5_000), limit=4_000)
    costly = writer.write(EVALUATION_BUDGET, 2)
    skipped = redriven(api, {"class": "lost"})["data"]
    assert (skipped["found"], skipped["sent"], skipped["skipped"]) == (2, 0, 2)
    assert list(skipped["why_skipped"].values()) == [1, 1]
    budget = redriven(api, {"class": EVALUATION_BUDGET})["data"]
    assert (budget["found"], budget["sent"], budget["topics"]) == (2, 0, {})
    [why] = budget["why_skipped"]
    [shown] = pages(api, EVALUATION_BUDGET)
    assert {one["not_redrivable"] for one in shown} == {why}
    found = sent(settings)
    assert not any(found[value] for value in ("x", "y" * 5_000, *map(value_of, costly)))


def test_a_missing_letter_stops_all(api: Api, settings: Settings, writer: Writer) -> None:
    """Who names one that isn't there may have mistaken the others too."""
    [number] = writer.write("missing")
    body = {"letters": [writer.place(number), "1:99999", "9:0"]}
    answer = api.post(REDRIVE, body)
    assert (answer.status_code, answer.json()["code"]) == (404, "letter_not_found")
    assert "1:99999, 9:0" in answer.json()["detail"]
    assert sent(settings)[value_of(number)] == 0


def test_many_are_sent_in_portions(api: Api, settings: Settings, writer: Writer) -> None:
    """Each call sends so many; its cursor goes on, and nothing is lost or sent twice."""
    wanted = writer.write("many", MOST_SENT + 200)
    dry = redriven(api, {"class": "many", "dry_run": True})
    assert (dry["data"]["found"], dry["metadata"]["next_cursor"]) == (MOST_SENT + 200, None)
    first = redriven(api, {"class": "many", "cursor": dry["metadata"]["cursor"]})
    assert first["data"]["sent"] == MOST_SENT
    cursor = first["metadata"]["next_cursor"]
    second = redriven(api, {"class": "many", "cursor": cursor})
    assert (second["data"]["sent"], second["metadata"]["next_cursor"]) == (200, None)
    found = sent(settings)
    assert {found[value_of(number)] for number in wanted} == {1}


def test_a_missing_topic_is_named(settings: Settings) -> None:
    """With the command that makes it."""
    with open_api(settings.model_copy(update={"topic_prefix": "nobodys."})) as other:
        answer = other.call("GET", PATH)
    assert (answer.status_code, answer.json()["code"]) == (503, "topic_missing")
    assert "nobodys.dead-letters" in answer.json()["detail"]
    assert "topics create" in answer.json()["detail"]


def page_of(settings: Settings, cursor: Ranges, bounds: Bounds) -> Found[int]:
    """A page of a class with the bounds of a test: the offsets of the records."""
    wanted = Wanted(kind="early")
    with RangeReader(settings, settings.topic(topics.DEAD_LETTERS)) as reader:
        ranges = ranges_of(reader, wanted, cursor)
        return newest(
            reader, wanted, ranges, 100, show=lambda one: int(one.error["offset"]), bounds=bounds
        )


def test_a_page_ends_early(settings: Settings, writer: Writer) -> None:
    """Also where none fits a call ends, and the next one goes on."""
    [number] = writer.write("early")
    others = writer.write("early-not", 150)
    for bounds in (Bounds(letters=10), Bounds(bytes=1_000)):
        calls = [page_of(settings, writer.ranges([number, *others]), bounds)]
        while left := calls[-1].left:
            calls.append(page_of(settings, left, bounds))
        # The first round of a call has 64 offsets at most.
        assert all(call.scanned <= 64 for call in calls)
        assert len(calls) > 2
        assert [offset for call in calls for offset in call.letters] == [number]


def portion_of(settings: Settings, cursor: Ranges, bounds: Bounds) -> Found[str]:
    """A portion with the bounds of a test: the values of the records."""
    wanted = Wanted()
    with RangeReader(settings, settings.topic(topics.DEAD_LETTERS)) as reader:
        ranges = ranges_of(reader, wanted, cursor)
        return portion(reader, wanted, ranges, 100, show=value_in, bounds=bounds)


def value_in(letter: Letter) -> str:
    """The value of the record for whom a letter stands, as text."""
    return (letter.value or b"").decode()


def test_a_portion_ends_early(settings: Settings, writer: Writer) -> None:
    """After so many letters or bytes; all portions together are all there is, once."""
    numbers = writer.write("portion", 40)
    for bounds in (Bounds(letters=10), Bounds(bytes=300)):
        calls = [portion_of(settings, writer.ranges(numbers), bounds)]
        while left := calls[-1].left:
            calls.append(portion_of(settings, left, bounds))
        assert all(len(call.letters) <= 13 for call in calls)
        values = [value for call in calls for value in call.letters]
        assert sorted(values) == sorted(map(value_of, numbers))


def test_a_call_without_time_says_so(settings: Settings) -> None:
    """Kafka was too slow for anything: an empty page would say that nothing is there."""
    topic = settings.topic(topics.DEAD_LETTERS)
    ranges = {0: (0, 2)}
    with RangeReader(settings, topic, within_s=0) as reader:
        with pytest.raises(UnreachableError, match="within 0 s"):
            reader.bounds()
        with pytest.raises(UnreachableError, match=topic):
            newest(reader, Wanted(), ranges, 10, show=value_in)
        with pytest.raises(UnreachableError, match=topic):
            portion(reader, Wanted(), ranges, 10, show=value_in)


def test_the_pages_of_a_class(api: Api, settings: Settings, writer: Writer) -> None:
    """What was counted is sent again, and nothing that came later."""
    numbers = writer.write("a_page", 3)
    visit = Visit(api, Role.OPERATOR)
    assert "/dead-letters?class=a_page" in visit.page("/dead-letters")
    page = visit.page("/dead-letters?class=a_page")
    for number in numbers:
        assert f"/dead-letters/{writer.place(number).replace(':', '/')}" in page
    counted = visit.send("/dead-letters/redrive", csrf=visit.token, **{"class": "a_page"})
    assert "Send 3 letters again" in counted.text
    uncounted = {"step": "commit", "cursor": "", "csrf": visit.token, "class": "a_page"}
    assert "Send 3 letters again" in visit.send("/dead-letters/redrive", **uncounted).text
    later = writer.write("a_page", 1)
    fields = visit.hidden_in(counted.text, "/dead-letters/redrive")
    done = visit.send("/dead-letters/redrive", step="commit", **fields)
    visit.close()
    assert ">3</span> were sent again" in done.text
    known = {value_of(number) for number in numbers + later}
    assert {value: count for value, count in sent(settings).items() if value in known} == {
        value_of(number): 1 for number in numbers
    }


def test_the_page_of_a_letter(api: Api, settings: Settings, writer: Writer) -> None:
    """Its bytes, its error, and the way to send it again; a viewer is offered none."""
    (number,) = writer.write("another_page", 1)
    path = f"/dead-letters/{writer.place(number).replace(':', '/')}"
    viewer, operator = Visit(api, Role.VIEWER), Visit(api, Role.OPERATOR)
    page = viewer.page(path)
    for text in ("another_page", "why", html.escape(value_of(number))):
        assert text in page
    assert f"{path}/redrive" not in page
    answer = operator.submit(path, f"{path}/redrive")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}?note=redriven")
    viewer.close()
    operator.close()
    assert sent(settings)[value_of(number)] == 1
