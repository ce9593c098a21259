"""An app: the functions of one program, and their cleanups, called after a cancel."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from streams.functions.definition import read_function
from streams.sdk.cancelled_run import CancelledRun
from streams.sdk.context import BlockingContext, Context
from streams.sdk.retries import Retries
from topology.records import Function as Definition

Call: TypeAlias = Callable[[Context], Awaitable[object]] | Callable[[BlockingContext], object]
CleanUp: TypeAlias = Callable[[CancelledRun], Awaitable[object] | object]
AnyCall = TypeVar("AnyCall", bound=Call)
AnyCleanUp = TypeVar("AnyCleanUp", bound=CleanUp)
Trigger: TypeAlias = str | Mapping[str, Any]

LEASE: Final = "60s"


@dataclass(frozen=True, slots=True)
class Function:
    """One function of an app.

    Attributes:
        definition: The function as Countermand knows it: triggers, cancel rules, timeouts.
        call: The Python function.
        retries: How its failing steps are tried again, unless a step has retries of its own.
    """

    definition: Definition
    call: Call
    retries: Retries

    @property
    def slug(self) -> str:
        """The function's name in topics and commands: `<app>-<id>`."""
        return self.definition.slug

    @property
    def blocking(self) -> bool:
        """Whether `call` is a plain function; each of its runs gets a thread."""
        return not inspect.iscoroutinefunction(self.call)


class App:
    """Functions and cleanups under one app id; `countermand worker MODULE:APP` runs them.

    All workers of an app need the same functions: each worker may get a run of any function.
    """

    def __init__(self, id: str, *, lease: str = LEASE, retries: Retries | None = None) -> None:  # noqa: A002  # the contract's word
        """An app without functions.

        Args:
            id: The app's id, the first part of its functions' slugs.
            lease: How long a silent worker keeps a run, such as `60s`; a function may have its own.
            retries: How failing steps are tried again; a function or step may have its own.
        """
        self.id = id
        self.functions: dict[str, Function] = {}
        self._by_slug: dict[str, Function] = {}
        self._cleanups: dict[str, CleanUp] = {}
        self._lease = lease
        self._retries = retries or Retries()

    def function(  # noqa: PLR0913  # the fields of a function
        self,
        *,
        id: str,  # noqa: A002  # as in YAML
        trigger: Trigger | Sequence[Trigger],
        cancel_on: Sequence[Mapping[str, Any]] = (),
        timeouts: Mapping[str, str] | None = None,
        lease: str | None = None,
        pending_for: str | None = None,
        retention: str | None = None,
        retries: Retries | None = None,
    ) -> Callable[[AnyCall], AnyCall]:
        """Declare a coroutine that takes a `Context`, or a function that takes a `BlockingContext`.

        The fields are those of a definition in YAML (`docs/functions.md`). `trigger` is an event's
        name, a mapping `{"event": …, "if": …}`, or several of these.

        Raises:
            DefinitionError: Some fields are wrong; the error lists them all.
            ValueError: The app has a function with this id already.
        """
        if id in self.functions:
            raise ValueError(f"app {self.id} has a function {id!r} already: give one another id")
        definition = read_function(
            _given(
                id=id,
                app=self.id,
                triggers=_triggers(trigger),
                cancel_on=[dict(rule) for rule in cancel_on],
                timeouts=dict(timeouts) if timeouts else None,
                lease=lease or self._lease,
                pending_for=pending_for,
                retention=retention,
            )
        )

        def declare(call: AnyCall) -> AnyCall:
            self.add(Function(definition, call, retries or self._retries))
            return call

        return declare

    def add(self, function: Function) -> None:
        """Add a function, or put it in the place of the one with its id."""
        self.functions[function.definition.id] = function
        self._by_slug[function.slug] = function

    def on_cancelled(self, *, function: str) -> Callable[[AnyCleanUp], AnyCleanUp]:
        """Declare the cleanup of a function's cancelled runs; `function`: its id, or slug.

        The cleanup is called after a run has stopped, at least once, and again if it fails.

        Raises:
            ValueError: The function has a cleanup already.
        """
        if self._slug(function) in self.cleanups:
            raise ValueError(f"{function} has a cleanup already: let it call both")

        def declare(call: AnyCleanUp) -> AnyCleanUp:
            self._cleanups[function] = call
            return call

        return declare

    @property
    def cleanups(self) -> dict[str, CleanUp]:
        """The cleanups by their functions' slugs; a cleanup may be declared before its function."""
        return {self._slug(name): call for name, call in self._cleanups.items()}

    def by_slug(self) -> Mapping[str, Function]:
        """The functions by their slugs; it shows those that are added later, too."""
        return self._by_slug

    def _slug(self, name: str) -> str:
        return self.functions[name].slug if name in self.functions else name


def _triggers(trigger: Trigger | Sequence[Trigger]) -> list[dict[str, Any]]:
    several = [trigger] if isinstance(trigger, str | Mapping) else trigger
    return [{"event": item} if isinstance(item, str) else dict(item) for item in several]


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
