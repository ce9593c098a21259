"""`/v1/dead-letters`: records that could not be taken; look at them, and send them again.

They are read from Kafka for each call, which has bounds: what is left comes with the next call.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from streams.api.call.call import Call, CurrentCall
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService, Service
from streams.api.fields import Answer, Body, Instant, Reason, Text, example, time_text
from streams.api.letter_model import (
    CURSOR_FIELD,
    Cursor,
    DeadLetter,
    WholeLetter,
    cursor_of,
    dead_letter,
    ranges_left,
    whole_letter,
)
from streams.api.operations import operation
from streams.api.paging import Envelope, Listing, PageMetadata, envelope
from streams.api.problems import ProblemError, kafka_problem, unavailable
from streams.api.producer import DELIVERY_S
from streams.clock import now_ms
from streams.errors import KafkaRefusedError, NotFoundError, UnreachableError
from streams.kafka.dead_letters import Letter, Plan, Wanted, plan
from streams.kafka.dead_letters import redrive as send_again
from streams.kafka.letter_search import USUAL, Found, newest, one_letter, portion, ranges_of
from streams.kafka.producers import Sender
from streams.kafka.ranges import RangeReader
from topology import topics

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"], route_class=GuardedRoute)
# How many letters one call sends again.
MOST_SENT: Final = 1_000
MOST_NAMED: Final = 20
_KAFKA_INT: Final = (1 << 31) - 1
_KAFKA_LONG: Final = (1 << 63) - 1

Position = Annotated[str, StringConstraints(pattern="^[0-9]{1,10}:[0-9]{1,19}$")]
Partition = Annotated[int, Path(ge=0, le=_KAFKA_INT)]
Offset = Annotated[int, Path(ge=0, le=_KAFKA_LONG)]


class LetterListing(Listing):
    """Which dead letters to list."""

    class_: Text | None = Field(default=None, alias="class", description="The class of error.")
    topic: Text | None = Field(default=None, description="The topic, by full name, of the record.")
    stage: Text | None = Field(default=None, description="Who refused it.")
    after: Instant | None = Field(default=None, description="Later than this.")
    before: Instant | None = Field(default=None, description="Earlier than this.")
    cursor: Cursor = CURSOR_FIELD


class LetterPageMetadata(PageMetadata):
    """About a page of dead letters."""

    scanned: int = Field(description="How many letters were looked at.")


class LetterPage(Answer):
    """A page of dead letters; it may hold fewer than `limit`, or none, and yet have a next one."""

    data: list[DeadLetter]
    metadata: LetterPageMetadata


class RedriveBody(Body):
    """Which dead letters to send again: some by their places, or all of a class."""

    model_config = example(**{"class": "no_json", "dry_run": True, "reason": "parser is mended"})

    # First, since what else may be said depends on it.
    letters: list[Position] | None = Field(
        None,
        min_length=1,
        max_length=MOST_NAMED,
        description="Their places: `partition:offset`.",
        examples=[["0:17"]],
    )
    class_: Text | None = Field(
        None, alias="class", validate_default=True, description="All of this class of error."
    )
    topic: Text | None = Field(None, description="Only records of this topic, by its full name.")
    stage: Text | None = Field(None, description="Only what this stage refused.")
    after: Instant | None = Field(None, description="Only letters later than this.")
    before: Instant | None = Field(None, description="Only letters earlier than this.")
    cursor: Cursor = Field(
        None,
        description="`next_cursor` of the call before; or `cursor` of a dry run, to send what it "
        "counted and no letter that came later.",
    )
    dry_run: bool = Field(default=False, description="Count, send nothing.")
    reason: Reason | None = Field(None, description="Why.")

    @field_validator("class_", "topic", "stage", "after", "before", "cursor")
    @classmethod
    def _one_way(cls, value: object, info: ValidationInfo) -> object:
        if "letters" not in info.data:  # wrong itself: who knows what was meant
            return value
        if info.data["letters"] is not None and value is not None:
            raise PydanticCustomError("conflict", "can't stand beside letters")
        return value

    @field_validator("class_")
    @classmethod
    def _something(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("letters", ()) is None:
            raise PydanticCustomError("required", "is required, or letters")
        return value


class Redriven(Answer):
    """What one call has sent again, or would have."""

    found: int = Field(description="How many letters fit.")
    sent: int = Field(description="How many Kafka has acknowledged; 0 in a dry run.")
    skipped: int = Field(description="How many can't be sent again.")
    why_skipped: dict[str, int] = Field(description="How many for which reason.")
    topics: dict[str, int] = Field(description="How many go to which topic.")
    dry_run: bool


class RedriveMetadata(PageMetadata):
    """About a call that sends letters again; while there is a `next_cursor`, more are to come."""

    cursor: str | None = Field(
        description="What this call began with: sent as `cursor`, the same letters are meant."
    )
    scanned: int = Field(description="How many letters were looked at.")


class RedriveAnswer(Answer):
    """What was sent again, and what is left."""

    data: Redriven
    metadata: RedriveMetadata


@router.get("", **operation("listDeadLetters", Role.VIEWER, 422))
async def list_(
    request: Request, service: CurrentService, asked: Annotated[LetterListing, Query()]
) -> LetterPage:
    """Records that could not be taken, the newest first."""
    return await service.letters.take(request, lambda: _list(service, asked))


@router.get("/{partition}/{offset}", **operation("getDeadLetter", Role.VIEWER, 404, 422))
async def get(
    request: Request, partition: Partition, offset: Offset, service: CurrentService
) -> Envelope[WholeLetter]:
    """One dead letter, with the record's bytes and headers."""
    return await service.letters.take(request, lambda: _get(service, partition, offset))


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
    return await service.letters.take(request, lambda: _redrive(body, call, service))


def _list(service: Service, asked: LetterListing) -> LetterPage:
    wanted = _wanted(asked)
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
        fetched_at=time_text(now_ms()), next_cursor=cursor_of(found.left), scanned=found.scanned
    )
    return LetterPage(data=list(found.letters), metadata=metadata)


def _get(service: Service, partition: int, offset: int) -> Envelope[WholeLetter]:
    with _letters(service) as reader:
        letter = one_letter(reader, partition, offset)
    if letter is None:
        raise _not_found([f"{partition}:{offset}"])
    return envelope(whole_letter(letter, service.settings))


def _redrive(body: RedriveBody, call: Call, service: Service) -> RedriveAnswer:
    with _letters(service) as reader:
        found = _named(reader, body.letters) if body.letters else _portion(reader, body)
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
    metadata = RedriveMetadata(
        fetched_at=time_text(now_ms()),
        cursor=cursor_of(found.begun),
        next_cursor=cursor_of(found.left),
        scanned=found.scanned,
    )
    return RedriveAnswer(data=data, metadata=metadata)


def _portion(reader: RangeReader, body: RedriveBody) -> Found[Letter]:
    wanted = _wanted(body)
    return portion(reader, wanted, ranges_of(reader, wanted, ranges_left(body.cursor)), MOST_SENT)


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
    return Found(letters, {}, {}, len(letters))


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


def _wanted(asked: LetterListing | RedriveBody) -> Wanted:
    return Wanted(
        kind=asked.class_,
        stage=asked.stage,
        topic=asked.topic,
        after=asked.after,
        before=asked.before,
    )


@contextmanager
def _letters(service: Service) -> Iterator[RangeReader]:
    """A reader of the topic.

    Raises:
        ProblemError: 503; a topic is missing.
    """
    topic = service.settings.topic(topics.DEAD_LETTERS)
    try:
        with RangeReader(service.settings, topic, USUAL.seconds) as reader:
            yield reader
    except NotFoundError as error:
        raise unavailable("topic_missing", str(error)) from error


def _not_found(positions: list[str]) -> ProblemError:
    detail = f"No such dead letter: {', '.join(positions)}. GET /v1/dead-letters lists them"
    return ProblemError(HTTPStatus.NOT_FOUND, "letter_not_found", detail)
