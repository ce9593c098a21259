"""Undos: the runs of a cancellation are started again once, whoever asks, and wherever.

The id of such a replay is made from the cancellation's, and is reserved before its request is
written. Of calls at the same moment one writes; one that fails lets the next go on at once, with
the same id, so that joiners take what both may have written for one request.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, select, union, update
from sqlalchemy.exc import SQLAlchemyError

from streams import logs
from streams.api.call.call import Call
from streams.api.call.idempotency import LEASE_MS
from streams.api.problems import ProblemError
from streams.clock import now_ms
from streams.database.engine import add_missing, writing
from streams.database.schema import REQUESTS, UNDOS
from topology import keys, limits

log = logs.get(__name__)


def undo_id(cancellation_id: str) -> str:
    """The id of the replay that undoes a cancellation.

    Raises:
        ValueError: the text is no ULID.
    """
    return keys.run_id_text(keys.undo_id(keys.run_id_bytes(cancellation_id)))


@contextmanager
def written_once(engine: Engine, call: Call, cancellation_id: str) -> Iterator[None]:
    """The block writes the call's request, under the id of the cancellation's undo.

    If it raises, anybody may try again at once; if its process dies, after `LEASE_MS`.

    Raises:
        ProblemError: 409; the cancellation is undone already, or another call is about to.
    """
    id_, owner = undo_id(cancellation_id), call.id
    with writing(engine) as connection:
        reserve(connection, id_, owner, now_ms())
    call.id = id_
    mine = UNDOS.c.replay_id == id_
    try:
        yield
    except BaseException:
        _note(engine, mine & (UNDOS.c.owner == owner), since=now_ms() - LEASE_MS)
        raise
    _note(engine, mine, done=True)


def reserve(connection: Connection, id_: str, owner: str, now: int) -> None:
    """Let one call alone, the `owner`, write the request of an undo.

    Raises:
        ProblemError: as `written_once`.
    """
    # After so long no run is kept that it could start again.
    connection.execute(delete(UNDOS).where(UNDOS.c.since < now - limits.LONGEST_MS))
    free = {"replay_id": id_, "owner": "", "since": now - LEASE_MS, "done": False}
    add_missing(connection, UNDOS, [free])
    mine = UNDOS.c.replay_id == id_
    row = connection.execute(select(UNDOS).where(mine).with_for_update()).one()
    is_read = connection.scalar(select(REQUESTS.c.type).where(REQUESTS.c.request_id == id_))
    # Who lost the answer to a call comes again with its Idempotency-Key, and is the same owner.
    if row.owner != owner and (is_read or _is_held(row, now)):
        raise already_replayed(id_)
    connection.execute(update(UNDOS).where(mine).values(owner=owner, since=now))


def undone(connection: Connection, cancellation_ids: Sequence[str]) -> Mapping[str, str]:
    """The ids of the replays that have undone cancellations, by the cancellations' ids."""
    of = {}
    for id_ in cancellation_ids:
        with suppress(ValueError):  # the topic may hold anything
            of[undo_id(id_)] = id_
    read = select(REQUESTS.c.request_id).where(REQUESTS.c.request_id.in_(of))
    # Kafka has these, but the read model may not have read them yet, or not again.
    acknowledged = select(UNDOS.c.replay_id).where(UNDOS.c.replay_id.in_(of), UNDOS.c.done)
    return {of[id_]: id_ for id_ in connection.scalars(union(read, acknowledged))}


def already_replayed(id_: str) -> ProblemError:
    """The problem of a second undo of a cancellation."""
    detail = f"The runs of this cancellation were started again before, by the replay {id_}"
    members = {"replay_id": id_}
    return ProblemError(HTTPStatus.CONFLICT, "already_replayed", detail, members=members)


def _is_held(row: Row[tuple[object, ...]], now: int) -> bool:
    """Whether a call has written an undo, or is about to."""
    return bool(row.done or now - row.since < LEASE_MS)


def _note(engine: Engine, which: ColumnElement[bool], **values: object) -> None:
    """Note what became of an undo; a failing database changes no answer, as Kafka has decided."""
    try:
        with writing(engine) as connection:
            connection.execute(update(UNDOS).where(which).values(values))
    except SQLAlchemyError as error:
        log.exception("What became of an undo was not booked", error=str(error))
