"""`/v1/dead-letters`: records that could not be taken; look at them, and send them again.

They are read from Kafka for each call, which has bounds: what is left comes with the next call.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Path, Query, Request

from streams.api.call.call import Call, CurrentCall
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService, Service
from streams.api.fields import time_text
from streams.api.letter_model import (
    ClassCount,
    ClassCounts,
    LetterFilter,
    LetterListing,
    LetterPage,
    LetterPageMetadata,
    PortionMetadata,
    RedriveAnswer,
    RedriveBody,
    Redriven,
    WholeLetter,
    cursor_of,
    dead_letter,
    ranges_left,
    wanted_by,
    whole_letter,
)
from streams.api.operations import operation
from streams.api.paging import Envelope, envelope
from streams.api.problems import ProblemError, kafka_problem, unavailable
from streams.api.producer import DELIVERY_S
from streams.clock import now_ms
from streams.errors import KafkaRefusedError, NotFoundError, UnreachableError
from streams.kafka.dead_letters import Letter, Plan, plan, why_not
from streams.kafka.dead_letters import redrive as send_again
from streams.kafka.letter_search import USUAL, Found, newest, one_letter, portion, ranges_of
from streams.kafka.producers import Sender
from streams.kafka.ranges import RangeReader
from topology import topics

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"], route_class=GuardedRoute)
T = TypeVar("T")

# How many letters one call sends again.
MOST_SENT: Final = 1_000
_KAFKA_INT: Final = (1 << 31) - 1
_KAFKA_LONG: Final = (1 << 63) - 1

Partition = Annotated[int, Path(ge=0, le=_KAFKA_INT)]
Offset = Annotated[int, Path(ge=0, le=_KAFKA_LONG)]


@router.get("", **operation("listDeadLetters", Role.VIEWER, 422))
async def list_(
    request: Request, service: CurrentService, asked: Annotated[LetterListing, Query()]
) -> LetterPage:
    """Records that could not be taken, the newest first."""
    return await service.kafka_reads.take(request, lambda: _list(service, asked))


@router.get("/classes", **operation("countDeadLetters", Role.VIEWER, 422))
async def classes(
    request: Request, service: CurrentService, asked: Annotated[LetterFilter, Query()]
) -> ClassCounts:
    """How many there are of each class, in portions: add them up while there is a next one."""
    return await service.kafka_reads.take(request, lambda: _classes(service, asked))


@router.get("/{partition}/{offset}", **operation("getDeadLetter", Role.VIEWER, 404, 422))
async def get(
    request: Request, partition: Partition, offset: Offset, service: CurrentService
) -> Envelope[WholeLetter]:
    """One dead letter, with the record's bytes and headers."""
    return await service.kafka_reads.take(request, lambda: _get(service, partition, offset))


@router.post(
    "/redrive",
    **operation("redriveDeadLetters", Role.OPERATOR, 404, 422, body=True, repeatable=True),
)
async def redrive(
    request: Request, body: RedriveBody, call: CurrentCall, service: CurrentService
) -> RedriveAnswer:
    """Send records to their topics again: each at least once; letters stay until they expire."""
    target = ",".join(body.letters) if body.letters is not None else body.class_ or ""
    call.about(target, reason=body.reason, dry_run=body.dry_run)
    return await service.kafka_reads.take(request, lambda: _redrive(body, call, service))


def _list(service: Service, asked: LetterListing) -> LetterPage:
    wanted = wanted_by(asked)
    with _letters(service) as reader:
        ranges = ranges_of(reader, wanted, ranges_left(asked.cursor))
        found = newest(
            reader,
            wanted,
            ranges,
            asked.limit,
            show=lambda letter: dead_letter(letter, service.settings),
        )
    metadata = LetterPageMetadata(
        fetched_at=time_text(now_ms()),
        next_cursor=cursor_of(found.left or None),
        scanned=found.scanned,
    )
    return LetterPage(data=list(found.letters), metadata=metadata)


def _classes(service: Service, asked: LetterFilter) -> ClassCounts:
    def show(letter: Letter) -> tuple[str | None, bool]:
        return letter.error.get("class"), why_not(letter, service.settings) is None

    with _letters(service) as reader:
        found = _portion(reader, asked, USUAL.letters, show)
    letters = Counter(name for name, _ in found.letters)
    redrivable = Counter(name for name, can in found.letters if can)
    counts = [
        ClassCount(class_=name, letters=count, redrivable=redrivable[name])
        for name, count in letters.most_common()
    ]
    return ClassCounts(data=counts, metadata=_about(found))


def _get(service: Service, partition: int, offset: int) -> Envelope[WholeLetter]:
    with _letters(service) as reader:
        letter = one_letter(reader, partition, offset)
    if letter is None:
        raise _not_found([f"{partition}:{offset}"])
    return envelope(whole_letter(letter, service.settings))


def _redrive(body: RedriveBody, call: Call, service: Service) -> RedriveAnswer:
    with _letters(service) as reader:
        found = _named(reader, body.letters) if body.letters else _of_class(reader, body)
        planned = plan(found.letters, service.settings)
        if planned.ready and not body.dry_run:
            service.writer.announce(call)
            _send(service, planned)
    data = Redriven(
        found=len(found.letters),
        sent=0 if body.dry_run else len(planned.ready),
        skipped=len(planned.skipped),
        why_skipped=Counter(planned.skipped.values()),
        topics=planned.targets,
        dry_run=body.dry_run,
    )
    return RedriveAnswer(data=data, metadata=_about(found))


def _of_class(reader: RangeReader, body: RedriveBody) -> Found[Letter]:
    most = USUAL.letters if body.dry_run else MOST_SENT
    return _portion(reader, body, most, lambda letter: letter)


def _portion(
    reader: RangeReader, asked: LetterFilter | RedriveBody, most: int, show: Callable[[Letter], T]
) -> Found[T]:
    wanted = wanted_by(asked)
    ranges = ranges_of(reader, wanted, ranges_left(asked.cursor))
    return portion(reader, wanted, ranges, most, show=show)


def _about(found: Found[T]) -> PortionMetadata:
    return PortionMetadata(
        fetched_at=time_text(now_ms()),
        cursor=cursor_of(found.begun),
        next_cursor=cursor_of(found.left or None),
        scanned=found.scanned,
    )


def _named(reader: RangeReader, positions: list[str]) -> Found[Letter]:
    """The letters of these places.

    Raises:
        ProblemError: 404; some aren't there.
    """
    places = {one: map(int, one.split(":")) for one in positions}
    found = {one: one_letter(reader, *place) for one, place in places.items()}
    missing = [one for one, letter in found.items() if letter is None]
    if missing:
        raise _not_found(missing)
    letters = [letter for letter in found.values() if letter is not None]
    return Found(letters, None, {}, len(letters))


def _send(service: Service, planned: Plan) -> None:
    """Send letters again, and wait for the acknowledgements.

    Raises:
        ProblemError: 503; they aren't all acknowledged.
    """
    sender = Sender(service.settings, DELIVERY_S)
    try:
        with sender:
            for letter in planned.ready:
                send_again(letter, sender)
    except (UnreachableError, KafkaRefusedError) as error:
        detail = (
            f"{error}. {sender.acknowledged} of {len(planned.ready)} records were acknowledged, "
            "and others may be on their way: the same call again sends all of them again"
        )
        raise kafka_problem(error, detail) from error


@contextmanager
def _letters(service: Service) -> Iterator[RangeReader]:
    """A reader of the topic.

    Raises:
        ProblemError: 503; a topic is missing.
    """
    topic = service.settings.topic(topics.DEAD_LETTERS)
    try:
        with RangeReader(service.settings, topic, service.kafka_within_s) as reader:
            yield reader
    except NotFoundError as error:
        raise unavailable("topic_missing", str(error)) from error


def _not_found(positions: list[str]) -> ProblemError:
    detail = f"No such dead letter: {', '.join(positions)}. GET /v1/dead-letters lists them"
    return ProblemError(HTTPStatus.NOT_FOUND, "letter_not_found", detail)
