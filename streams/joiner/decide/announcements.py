"""Sends records about runs and requests: `runs`, `cancelled`, `request-progress`, `replayed`.

Their formats are in design 2.1 to 2.4. Every registration and every cancel sends some, so those are
put together as text around the event's own bytes. Slugs, apps and topics have no character that
JSON escapes; all else is encoded.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec
import orjson

from streams.functions.compiled import CompiledFunction
from streams.joiner.decide.view import CancelRecords, Headers, Output, View
from topology import keys
from topology.keys import run_id_text
from topology.records import CancelRun, Json, LongRequest
from topology.requests import REQUEST_NAMES
from topology.tables import Counts, EventRow, RequestRow, RunRow

_JSON: Final = ("false", "true")
_NEVER_STARTED: Final = b'"started_at":null,"last_step":null,"attempt":1}}}'
_ERROR = b'{"name":"Error","message":"function cancelled","error":"function cancelled"}'


def scheduled(view: View, run_id: bytes, event: EventRow, app: str) -> None:
    """Announce a run as it was registered; `app` is its function's."""
    dispatch = _JSON[not event.dispatch_at]
    state = f'"scheduled","seq":1,"attempt":1,"dispatch":{dispatch},"at":{event.received}'
    text, head = _head(run_id, event, app, state)
    _emit(view, text, event, head, b"}")


def registrations(compiled: CompiledFunction) -> Callable[[bytes, EventRow], Output]:
    """What makes the records of runs of a function's version that are dispatched at once.

    The same as `scheduled` sends, with what all of them share made once.
    """
    slug, version, app = compiled.slug, compiled.version, compiled.function.app
    function = (
        f'","function_id":"{slug}","app_id":"{app}","function_version":{version},"status":'
        '"scheduled","seq":1,"attempt":1,"dispatch":true,"at":'
    )
    headers: Headers = [("function-id", slug)]

    def registered(run_id: bytes, event: EventRow) -> Output:
        text, received, place = run_id_text(run_id), event.received, event.position
        head = (
            f'{{"v":1,"run_id":"{text}{function}{received},"scheduled_at":{received},'
            f'"source":{{"topic":"{place.topic}","partition":{place.partition},'
            f'"offset":{place.offset}}},"event":'
        )
        value = b"".join((head.encode(), event.event, b"}"))
        return Output("runs", text.encode(), value, headers)

    return registered


def cancel_records(view: View, compiled: CompiledFunction) -> CancelRecords:
    """What makes both records of runs of a function's version that are cancelled as registered.

    The same as `changed` and `cancelled` send of a run to which nothing has happened, by its cause
    and the id of its cancellation, with what all of them share made once.
    """
    slug, version, app, now = compiled.slug, compiled.version, compiled.function.app, view.now
    function = (
        f'","function_id":"{slug}","app_id":"{app}","function_version":{version},"status":'
        f'"cancelled","seq":2,"attempt":1,"dispatch":false,"at":{now},"scheduled_at":'
    )
    ended = f',"status_before":"scheduled","ended_at":{now}'
    begin = f'{{"v":1,"name":{_quoted(view.cancelled_name)},"id":"'
    middle = f'","ts":{now},"data":{{"function_id":"{slug}","run_id":"'
    changed_headers: Headers = [("function-id", slug)]
    headers = _cancelled_headers(view, slug)

    def records(
        run_id: bytes, event: EventRow, cause: bytes, cancellation: bytes
    ) -> tuple[Output, Output]:
        text, received, place = run_id_text(run_id), event.received, event.position
        key, body = text.encode(), event.event
        head = (
            f'{{"v":1,"run_id":"{text}{function}{received},'
            f'"source":{{"topic":"{place.topic}","partition":{place.partition},'
            f'"offset":{place.offset}}},{_links(event)}"event":'
        )
        tail = f'{ended},"cancellation_id":"{run_id_text(cancellation)}"' if cancellation else ended
        changed = b'%b%b%b,"cause":%b}' % (head.encode(), body, tail.encode(), cause)
        cancelled = b'%b%b,"events":[%b],"error":%b,"cause":%b,"run":%b' % (
            f'{begin}{text}{middle}{text}","event":'.encode(),
            body,
            body,
            _ERROR,
            cause,
            b'{"status_before":"scheduled","scheduled_at":%d,%b' % (received, _NEVER_STARTED),
        )
        return (
            Output("runs", key, changed, changed_headers),
            Output("cancelled", key, cancelled, [*headers, ("ce_id", text)]),
        )

    return records


def changed(  # noqa: PLR0913, PLR0917  # the parts of a run
    view: View, run_id: bytes, event: EventRow, row: RunRow, status_before: str | None, app: str
) -> None:
    """Announce a run as it is now; `status_before` is the status that has changed, if it has."""
    dispatch = _JSON[row.dispatch and row.status == "scheduled"]
    state = f'"{row.status}","seq":{row.seq},"attempt":{row.attempt},"dispatch":{dispatch}'
    rest = _changes(row, status_before) if row.seq > 1 or status_before else b"}"
    text, head = _head(run_id, event, app, f'{state},"at":{row.at}')
    _emit(view, text, event, head, rest)


def cancelled(view: View, run_id: bytes, event: EventRow, before: RunRow, cause: bytes) -> None:
    """Send a run's one `function.cancelled`; `before` is its row until then, `cause` is JSON."""
    text = run_id_text(run_id)
    head = (
        f'{{"v":1,"name":{_quoted(view.cancelled_name)},"id":"{text}","ts":{view.now},"data":{{'
        f'"function_id":"{event.slug}","run_id":"{text}","event":'
    )
    state = {
        "status_before": before.status,
        "scheduled_at": event.received,
        "started_at": before.started_at or None,
        "last_step": before.last_step or None,
        "attempt": before.attempt,
    }
    value = b'%b%b,"events":[%b],"error":%b,"cause":%b,"run":%b}}' % (
        head.encode(),
        event.event,
        event.event,
        _ERROR,
        cause,
        orjson.dumps(state),
    )
    headers = _cancelled_headers(view, event.slug)
    view.emit("cancelled", text.encode(), value, [*headers, ("ce_id", text)])


def _cancelled_headers(view: View, slug: str) -> Headers:
    """The headers of all `function.cancelled` of a function, but for the event's own id."""
    return [
        ("function-id", slug),
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_type", view.cancelled_name),
        ("ce_source", "countermand"),
    ]


@lru_cache(maxsize=1)
def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def progress(view: View, row: RequestRow) -> None:
    """Announce how far this partition is with a request."""
    sample = [keys.run_id_text(run_id) for run_id in row.sample]
    _progress(view, row.command, row.state, _result(None, row.counts, sample), row.error)


def run_answered(view: View, command: CancelRun, outcome: str) -> None:
    """Announce the outcome of a request to cancel one run."""
    _progress(view, command, "done", _result(outcome, Counts(), []))


def failed_on(view: View, request_id: bytes, run_id: bytes, error: str) -> None:
    """Announce that the evaluation of a request's condition failed for a run."""
    request, run = keys.run_id_text(request_id), keys.run_id_text(run_id)
    record = {
        "v": 1,
        "request_id": request,
        "partition": view.partition,
        "run_id": run,
        "failed": error,
    }
    key = f"{request}/{view.partition}/{run}"
    view.emit("request-progress", key.encode(), orjson.dumps(record), [])


def replayed(
    view: View, run_id: bytes, event: EventRow, replay_id: bytes, dispatch_at: int
) -> None:
    """Send a run's event to be routed again; the new run is dispatched at a time (ms; 0: now)."""
    text = keys.run_id_text(run_id)
    value = b'{"v":1,"function_id":"%b","replay_of":"%b","replay_id":"%b"%b%b,"event":%b}' % (
        event.slug.encode(),
        text.encode(),
        keys.run_id_text(replay_id).encode(),
        b',"dispatch_at":%d' % dispatch_at if dispatch_at else b"",
        b',"identity":"%b"' % event.identity.hex().encode() if event.identity else b"",
        event.event,
    )
    view.emit("replayed", text.encode(), value, [("function-id", event.slug)])


def removed(view: View, run_id: bytes, slug: str) -> None:
    """Announce that a run was removed."""
    view.emit("runs", keys.run_id_text(run_id).encode(), None, [("function-id", slug)])


def _result(outcome: str | None, counts: Counts, sample: list[str]) -> Json:
    return {"outcome": outcome, **msgspec.structs.asdict(counts), "sample": sample}


def _progress(
    view: View, command: LongRequest | CancelRun, state: str, result: Json, error: str = ""
) -> None:
    text = keys.run_id_text(command.request.id)
    record = {
        "v": 1,
        "request_id": text,
        "partition": view.partition,
        "type": REQUEST_NAMES[type(command)],
        "state": state,
        **result,
        "updated_at": view.now,
        "error": error or None,
    }
    key = f"{text}/{view.partition}"
    view.emit("request-progress", key.encode(), orjson.dumps(record), [])


def _head(run_id: bytes, event: EventRow, app: str, state: str) -> tuple[str, str]:
    text = keys.run_id_text(run_id)
    position = event.position
    return text, (
        f'{{"v":1,"run_id":"{text}","function_id":"{event.slug}","app_id":"{app}",'
        f'"function_version":{event.version},"status":{state},"scheduled_at":{event.received},'
        f'"source":{{"topic":"{position.topic}","partition":{position.partition},'
        f'"offset":{position.offset}}},{_links(event)}"event":'
    )


def _links(event: EventRow) -> str:
    if not event.replay_id:
        return ""
    of, by = keys.run_id_text(event.replay_of), keys.run_id_text(event.replay_id)
    return f'"replay_of":"{of}","replay_id":"{by}",'


def _emit(view: View, text: str, event: EventRow, head: str, rest: bytes) -> None:
    value = b"".join((head.encode(), event.event, rest))
    view.emit("runs", text.encode(), value, [("function-id", event.slug)])


def _changes(row: RunRow, status_before: str | None) -> bytes:
    """The end of a record: fields that a run doesn't have when it is first announced."""
    text = f',"status_before":"{status_before}"' if status_before else ""
    if row.started_at:
        text += f',"started_at":{row.started_at}'
    if row.ended_at:
        text += f',"ended_at":{row.ended_at}'
    if row.stopped_at:
        text += f',"stopped_at":{row.stopped_at}'
    if row.sleep_until:
        text += f',"sleep_until":{row.sleep_until}'
    if row.cancellation:
        text += f',"cancellation_id":"{keys.run_id_text(row.cancellation)}"'
    rest = text.encode()
    if row.worker or row.last_step or row.error:
        rest += _by_worker(row)
    if row.cause:
        rest += b',"cause":' + row.cause
    return rest + b"}"


def _by_worker(row: RunRow) -> bytes:
    """Fields that come from a worker and may have any characters."""
    error = {"name": row.error[0], "message": row.error[1]} if row.error else None
    said = {"worker": row.worker, "last_step": row.last_step, "error": error}
    return b"," + orjson.dumps({name: value for name, value in said.items() if value})[1:-1]
