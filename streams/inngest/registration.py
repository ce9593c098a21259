"""What an app registers: its functions as Countermand's, and why others are refused.

The shapes are those that the SDKs for TypeScript (3 and 4), Python and Go send; a field that isn't
set may be missing or null.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from streams import matching
from streams.durations import format_duration, parse_rfc_3339
from streams.errors import DefinitionError, ExpressionError, RefusedError
from streams.functions.definition import read_function
from streams.inngest.times import duration_ms
from topology import limits
from topology.records import Function

CANCELLED: Final = "inngest/function.cancelled"
FAILED: Final = "inngest/function.failed"
# As the SDKs' documentation says: an attempt and four retries, if a function doesn't say it.
_RETRIES: Final = 4
_MOST_RETRIES: Final = 20
_REFUSED: Final[Mapping[str, str]] = {
    "batchEvents": "a run has one event",
    "debounce": "each event starts its run at once",
    "rateLimit": "each event starts a run",
    "idempotency": "an event's id says which events are one, for 24 h",
}
# They change how much runs at once, not what happens.
_OF_LOAD: Final = ("concurrency", "throttle", "priority")
_RULE_VARIABLES: Final = frozenset({"event", "async"})
_OF_EVENT: Final = "event."
_OF_DATA: Final = "event.data."


class _Trigger(Struct):
    event: str | None = None
    expression: str | None = None
    cron: str | None = None


class _Cancel(Struct, rename={"if_": "if"}):
    event: str | None = None
    if_: str | None = None
    timeout: str | None = None


class _Runtime(Struct):
    url: str | None = None
    type: str | None = None


class _Retries(Struct):
    attempts: int | None = None


class _Step(Struct):
    runtime: _Runtime | None = None
    retries: _Retries | None = None

    @property
    def url(self) -> str:
        """Where it is called; empty if not over HTTP. Go doesn't name the kind."""
        runtime = self.runtime or _Runtime()
        return (runtime.url or "") if runtime.type in {None, "http"} else ""

    @property
    def most_retries(self) -> int:
        retries = None if self.retries is None else self.retries.attempts
        return _RETRIES if retries is None else min(max(retries, 0), _MOST_RETRIES)


class _Singleton(Struct):
    mode: str | None = None
    key: str | None = None


class _Timeouts(Struct):
    start: str | None = None
    finish: str | None = None


class _Config(Struct, rename="camel"):
    """A function as an SDK describes it."""

    id: str
    triggers: list[_Trigger] | None = None
    steps: dict[str, _Step] | None = None
    cancel: list[_Cancel] | None = None
    timeouts: _Timeouts | None = None
    singleton: _Singleton | None = None
    batch_events: Any = None
    debounce: Any = None
    rate_limit: Any = None
    idempotency: Any = None
    concurrency: Any = None
    throttle: Any = None
    priority: Any = None


class _Body(Struct):
    url: str
    functions: list[dict[str, Any]] | None = None
    app_id: str | None = None
    appName: str | None = None  # noqa: N815  # as TypeScript and Go write it
    appname: str | None = None  # as Python writes it


class RegistrationError(RefusedError):
    """An app can't be registered; `problems` has every reason, as a sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class RemoteFunction(Struct, frozen=True):
    """A function in an app: what Countermand knows of it, and how the app is called for it.

    `url` is where, with the query that names the function; a failing call is tried again `retries`
    times.
    """

    definition: Function
    url: str
    retries: int


class Registration(Struct, frozen=True):
    """An app, as it registers itself. `warnings` has what is taken and means another thing here."""

    app_id: str
    url: str
    functions: tuple[RemoteFunction, ...]
    warnings: tuple[str, ...]


class Rules(Struct, frozen=True):
    """What is taken here.

    Attributes:
        cancelled_event_name: The name of cancelled events.
        refuses_load_fields: Whether fields are refused that change how much runs at once.
        lease_ms: How long a bridge that died keeps its runs.
    """

    cancelled_event_name: str = "function.cancelled"
    refuses_load_fields: bool = False
    lease_ms: int = limits.MINUTE_MS


def read_registration(body: bytes, rules: Rules) -> Registration:
    """Read the body of a registration, or the answer of an app that is one.

    Raises:
        RegistrationError: It has everything that is wrong in any function.
    """
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RegistrationError([f"not a registration: {error}"]) from error
    app_id = found.app_id or found.appName or found.appname
    if not app_id:
        raise RegistrationError(["not a registration: it has no appName"])
    reader = _Reader(app_id, rules)
    functions = [reader.function(config) for config in found.functions or ()]
    if reader.problems:
        raise RegistrationError(reader.problems)
    taken = tuple(function for function in functions if function is not None)
    return Registration(app_id, found.url, taken, tuple(reader.warnings))


class _Reader:
    """Reads the functions of one app, and notes what is wrong with them."""

    def __init__(self, app_id: str, rules: Rules) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self._app_id = app_id
        self._rules = rules
        self._slug = ""

    def function(self, given: Mapping[str, Any]) -> RemoteFunction | None:
        """A function; None if something is wrong with it."""
        # Go names this field as its type is named.
        renamed = {"singleton" if name == "Singleton" else name: one for name, one in given.items()}
        try:
            config = msgspec.convert(renamed, type=_Config)
        except msgspec.ValidationError as error:
            self.problems.append(f"{given.get('id', 'a function')}: {error}")
            return None
        self._slug, before = config.id, len(self.problems)
        self._refuse_fields(given)
        step = next((step for step in (config.steps or {}).values() if step.url), None)
        if step is None:
            self._refuse("it has no address: register it with serve(), not with connect()")
        definition = self._definition(config)
        if step is None or definition is None or len(self.problems) > before:
            return None
        return RemoteFunction(definition, step.url, step.most_retries)

    def _refuse(self, message: str) -> None:
        self.problems.append(f"{self._slug}: {message}")

    def _warn(self, message: str) -> None:
        self.warnings.append(f"{self._slug}: {message}")

    def _refuse_fields(self, given: Mapping[str, Any]) -> None:
        for field, why in _REFUSED.items():
            if given.get(field):
                self._refuse(f"{field} isn't supported: {why}")
        for field in _OF_LOAD:
            if given.get(field) and self._rules.refuses_load_fields:
                self._refuse(f"{field} isn't supported: remove it")
            elif given.get(field):
                self._warn(f"{field} has no effect")

    def _definition(self, config: _Config) -> Function | None:
        triggers = list(self._triggers(config.triggers or []))
        rules = [*self._cancel_rules(config.cancel or [])]
        rules += self._singleton(config.singleton, triggers)
        timeouts = config.timeouts or _Timeouts()
        document = {
            "app": self._app_id,
            "id": config.id.removeprefix(f"{self._app_id}-"),
            "triggers": triggers,
            "cancel_on": rules,
            "timeouts": _set(
                start=self._time("timeouts.start", timeouts.start),
                finish=self._time("timeouts.finish", timeouts.finish),
            ),
            "lease": format_duration(self._rules.lease_ms),
            "pending_for": format_duration(limits.LONGEST_MS),
        }
        try:
            found = read_function({name: value for name, value in document.items() if value})
        except DefinitionError as error:
            for problem in error.problems:
                self._refuse(str(problem))
            return None
        return structs.replace(found, remote=True)

    def _triggers(self, triggers: Sequence[_Trigger]) -> Iterator[dict[str, Any]]:
        for trigger in triggers:
            if trigger.cron:
                self._refuse("triggers: cron isn't supported: only events start runs")
                continue
            name = trigger.event
            event = self._rules.cancelled_event_name if name == CANCELLED else name
            yield _set(event=event, **{"if": trigger.expression})

    def _cancel_rules(self, rules: Sequence[_Cancel]) -> Iterator[dict[str, Any]]:
        for rule in rules:
            all_runs = not rule.if_ or not _mentions_event(rule.if_)
            if all_runs:
                self._warn(f"cancel: each {rule.event} cancels every run of it")
            timeout = self._time("cancel.timeout", rule.timeout)
            condition = {"if": rule.if_ or None, "all_runs": all_runs or None}
            yield _set(event=rule.event, timeout=timeout, **condition)

    def _singleton(
        self, singleton: _Singleton | None, triggers: Sequence[Mapping[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        """The rules by which a new run cancels the one before, as the mode `cancel` has it."""
        if singleton is None:
            return
        key = singleton.key or ""
        if singleton.mode != "cancel":
            self._refuse("singleton: only the mode cancel is supported")
        elif not key.startswith(_OF_DATA):
            self._refuse("singleton: its key must be a path such as event.data.userId")
        else:
            for trigger in triggers:
                yield _set(event=trigger.get("event"), match=key.removeprefix(_OF_EVENT))

    def _time(self, field: str, text: str | None) -> str | None:
        """A duration as definitions have it; an instant stays as it is."""
        if not text:
            return None
        try:
            parse_rfc_3339(text)
        except ValueError:
            try:
                return format_duration(duration_ms(text))
            except ValueError as error:
                self._refuse(f"{field}: {error}")
                return None
        return text


def _mentions_event(condition: str) -> bool:
    """Whether a condition says something of the run; what is no expression is refused later."""
    try:
        return matching.parse(condition, _RULE_VARIABLES).mentions("event")
    except ExpressionError:
        return True


def _set(**fields: Any) -> dict[str, Any]:  # noqa: ANN401  # of a definition
    return {name: value for name, value in fields.items() if value is not None}
