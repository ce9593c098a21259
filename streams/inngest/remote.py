"""The functions of apps, as a worker runs them: each call of an app is a step."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import orjson

from streams.functions.registry import Registry
from streams.inngest.apps import RemoteApp
from streams.inngest.caller import Caller
from streams.inngest.drive import Drive, Remote
from streams.inngest.registration import CANCELLED, FAILED, RemoteFunction
from streams.sdk.app import Function
from streams.sdk.context import Context
from streams.sdk.retries import Retries
from streams.sdk.worker.journal import Outgoing
from topology import limits
from topology.records import RunRecord
from topology.statuses import Status

_ONCE: Final = Retries(attempts=1)


def functions_of(app: RemoteApp, registry: Registry) -> Sequence[RemoteFunction]:
    """The functions of an app that are declared, each with its newest definition."""
    found = []
    for id_, address in app.functions.items():
        newest = registry.newest(f"{app.app_id}-{id_}")
        if newest is None or newest.deleted or newest.identity != (app.app_id, id_):
            continue  # `a-b` and `c` have the slug of `a` and `b-c`
        function = newest.compiled.function
        if function.remote:
            found.append(RemoteFunction(function, address.url, address.retries))
    return found


def as_function(remote: RemoteFunction, caller: Caller, cancelled_event_name: str) -> Function:
    """A function of the SDK that calls the app."""
    post = partial(caller.post, remote.url, remote.definition.slug)
    how = Remote(post, remote.retries, cancelled_event_name)

    async def call(context: Context) -> None:
        await Drive(context, how).run()

    return Function(remote.definition, call, _ONCE)


class Failures:
    """Tells of failed runs under Inngest's name, which functions may be triggered by."""

    def __init__(self, topic: str, cancelled_event_name: str) -> None:
        """`topic` is the full name of `events`."""
        self._topic = topic
        self._of_ends = {FAILED, CANCELLED, cancelled_event_name}

    def __call__(self, run: RunRecord) -> Sequence[Outgoing]:
        """The event of a run that has failed: its id is the run's, so a repeat does nothing."""
        if run.status != Status.FAILED:
            return ()
        event = orjson.loads(bytes(run.event))
        if event.get("name") in self._of_ends:
            return ()  # else a failing handler of failures would go on for ever
        value = self._value(run, event, [event])
        if len(value) > limits.EVENT_BYTES:
            value = self._value(run, event, [])
        if len(value) > limits.EVENT_BYTES:
            value = self._value(run, event | {"data": {}}, [])
        return (Outgoing(self._topic, run.run_id.encode(), value),)

    def _value(
        self, run: RunRecord, event: Mapping[str, object], events: Sequence[Mapping[str, object]]
    ) -> bytes:
        error = run.error if isinstance(run.error, dict) else {}
        name, message = str(error.get("name") or "Error"), str(error.get("message") or "")
        return orjson.dumps(
            {
                "name": FAILED,
                "id": run.run_id,
                "data": {
                    "function_id": run.function_id,
                    "run_id": run.run_id,
                    "event": event,
                    "events": events,
                    "error": {"name": name, "message": message, "error": message},
                },
            }
        )
