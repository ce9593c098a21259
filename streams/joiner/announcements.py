"""What others are told of a run: records of `runs` (design 2.2) and `cancelled` (design 2.1).

Every registration and every cancel makes some, so they are put together as text around the event's
own bytes. Slugs, apps and topics have no character that JSON would escape; all else is encoded.
"""

import orjson

from streams.joiner.view import Headers, View
from topology import keys
from topology.records import Json
from topology.tables import EventRow, RunRow

_ERROR = b'{"name":"Error","message":"function cancelled","error":"function cancelled"}'


def scheduled(view: View, run_id: bytes, event: EventRow, app: str) -> None:
    """A run as it was registered."""
    dispatch = _json(not event.dispatch_at)
    state = f'"scheduled","seq":1,"attempt":1,"dispatch":{dispatch},"at":{event.received}'
    text, head = _head(run_id, event, app, state)
    _emit(view, text, event, head, b"}")


def changed(
    view: View, run_id: bytes, event: EventRow, row: RunRow, status_before: str | None
) -> None:
    """A run as it is now."""
    app = view.function(event.slug, event.version).function.app
    dispatch = _json(row.dispatch and row.status == "scheduled")
    state = f'"{row.status}","seq":{row.seq},"attempt":{row.attempt},"dispatch":{dispatch}'
    changes = _changes(row, status_before) if row.seq > 1 else {}
    rest = b"," + orjson.dumps(changes)[1:] if changes else b"}"
    text, head = _head(run_id, event, app, f'{state},"at":{row.at}')
    _emit(view, text, event, head, rest)


def cancelled(view: View, run_id: bytes, event: EventRow, before: RunRow, cause: bytes) -> None:
    """The one `function.cancelled` of a run; `before`: its row until then, `cause`: JSON."""
    text = keys.run_id_text(run_id)
    name = orjson.dumps(view.cancelled_name).decode()
    head = (
        f'{{"v":1,"name":{name},"id":"{text}","ts":{view.now},"data":{{'
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
    headers: Headers = [
        ("function-id", event.slug),
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", text),
        ("ce_type", view.cancelled_name),
        ("ce_source", "countermand"),
    ]
    view.emit("cancelled", text.encode(), value, headers)


def removed(view: View, run_id: bytes, slug: str) -> None:
    """A run is forgotten."""
    view.emit("runs", keys.run_id_text(run_id).encode(), None, [("function-id", slug)])


def _head(run_id: bytes, event: EventRow, app: str, state: str) -> tuple[str, str]:
    text = keys.run_id_text(run_id)
    position = event.position
    return text, (
        f'{{"v":1,"run_id":"{text}","function_id":"{event.slug}","app_id":"{app}",'
        f'"function_version":{event.version},"status":{state},"scheduled_at":{event.received},'
        f'"source":{{"topic":"{position.topic}","partition":{position.partition},'
        f'"offset":{position.offset}}},"event":'
    )


def _emit(view: View, text: str, event: EventRow, head: str, rest: bytes) -> None:
    value = b"".join((head.encode(), event.event, rest))
    view.emit("runs", text.encode(), value, [("function-id", event.slug)])


def _json(flag: bool) -> str:  # noqa: FBT001  # the value itself, not an option
    return "true" if flag else "false"


def _changes(row: RunRow, status_before: str | None) -> dict[str, Json]:
    optional = {
        "status_before": status_before,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "stopped_at": row.stopped_at,
        "sleep_until": row.sleep_until,
        "worker": row.worker,
        "last_step": row.last_step,
        "error": {"name": row.error[0], "message": row.error[1]} if row.error else None,
        "cause": orjson.Fragment(row.cause) if row.cause else None,
    }
    return {name: value for name, value in optional.items() if value}
