"""Events to commands, case by case."""

import pytest

from streams.functions.registry import Registry
from streams.matching import canonical
from streams.router.drafts import Draft, Registration, Routed
from streams.router.record import Record
from streams.router.route import EventRouter
from tests.unit.streams.router.conftest import RECEIVED, Apply, an_event, parsed
from topology import keys
from topology.records import Cancel, CancelRule, Command, Listen, Match, Register, Trigger

P = 8
SHIP = "shop-ship"
BY_ORDER = CancelRule(event="dropped", match="data.order", timeout_ms=1_000)
BY_USER = CancelRule(event="closed", match="data.user")
ALL = CancelRule(event="stopped", all_runs=True)


def route(registry: Registry, record: Record, partitions: int = P) -> Routed:
    """What the router makes of a record."""
    router = EventRouter(partitions, "function.cancelled", {"events": bytes(16)})
    found = router.route(record, parsed(record), registry)
    return found if isinstance(found, Routed) else found.routed()


def match_key(event: str, path: str, value: object, function: str = SHIP) -> bytes:
    """Where runs and cancels of a `match` rule meet."""
    return keys.MatchKeys(function, event, [tuple(path.split("."))]).key(canonical((value,)))


def commands(routed: Routed, kind: type[Command]) -> list[tuple[int, Command]]:
    """The commands of one type, with their partitions."""
    return [
        (partition, command)
        for partition, draft in sorted(routed.drafts.items())
        for command in draft.commands
        if type(command) is kind
    ]


def only_register(routed: Routed) -> tuple[int, Register, Draft]:
    """The one registration, its partition, and what goes there."""
    [(partition, command)] = commands(routed, Register)
    assert isinstance(command, Register)
    return partition, command, routed.drafts[partition]


def test_unknown_event_gives_nothing(registry: Registry, apply: Apply) -> None:
    """An event whose name nothing listens to is ignored."""
    apply("ship", ["placed"], BY_ORDER)
    assert route(registry, an_event("sold")).drafts == {}


@pytest.mark.parametrize(("ahead", "kind"), [(0, Registration), (1, Routed)])
def test_an_event_that_only_starts_a_run_is_no_more_than_that(
    registry: Registry, apply: Apply, ahead: int, kind: type[object]
) -> None:
    """It takes the quick way, unless the run is delayed."""
    apply("ship", ["placed"], BY_ORDER)
    record = an_event("placed", data={"order": "o1"}, ts=RECEIVED + ahead)
    router = EventRouter(P, "function.cancelled", {"events": bytes(16)})
    assert type(router.route(record, parsed(record), registry)) is kind


def test_run_registers_where_its_first_key_meets(registry: Registry, apply: Apply) -> None:
    """The home key is the first match key, and its partition is the run's (S2)."""
    apply("ship", ["placed"], BY_ORDER)
    record = an_event("placed", data={"order": "o1"})
    home, command, draft = only_register(route(registry, record))
    key = match_key("dropped", "data.order", "o1")
    assert home == keys.partition_of_key(key, P) == keys.partition_of_run(command.run_id, P)
    assert [one.key for one in command.listeners] == [key]
    assert command.listeners[0].until == RECEIVED + 1_000
    assert keys.received_ms(command.run_id) == RECEIVED
    assert command.event_key == keys.event_key(SHIP, "e1")
    assert command.dispatch_at == 0
    assert draft.event == record.value
    assert draft.definitions[command.definition].slug == SHIP


@pytest.mark.parametrize("data", [{}, {"order": None}])
def test_run_without_a_key_has_its_event_as_home(
    registry: Registry, apply: Apply, data: dict[str, None]
) -> None:
    """Where no key can be computed, function and event id decide (S14)."""
    apply("ship", ["placed"], BY_ORDER)
    home, command, _ = only_register(route(registry, an_event("placed", data=data)))
    assert home == keys.partition_of_key(keys.event_key(SHIP, "e1"), P)
    assert command.listeners == ()


def test_scanned_rule_listens_at_home(registry: Registry, apply: Apply) -> None:
    """A rule without an equality has its listener at home, behind those that decide it."""
    apply("ship", ["placed"], ALL, BY_ORDER)
    routed = route(registry, an_event("placed", data={"order": "o1"}))
    home, command, _ = only_register(routed)
    assert home == keys.partition_of_key(match_key("dropped", "data.order", "o1"), P)
    assert [one.rule for one in command.listeners] == [1, 0]
    assert commands(routed, Listen) == []


def test_run_with_scanned_rules_alone_has_its_event_as_home(
    registry: Registry, apply: Apply
) -> None:
    """A scan key would put all runs of a function into one partition."""
    apply("ship", ["placed"], ALL)
    home, command, _ = only_register(route(registry, an_event("placed")))
    assert home == keys.partition_of_key(keys.event_key(SHIP, "e1"), P)
    assert len(command.listeners) == 1


def test_other_keys_listen_where_they_meet(registry: Registry, apply: Apply) -> None:
    """A run's other match keys are listened to in their own partitions, scans only at home."""
    apply("ship", ["placed"], BY_ORDER, BY_USER, ALL)
    elsewhere = 0
    for number in range(40):
        data = {"order": f"o{number}", "user": f"u{number}"}
        routed = route(registry, an_event("placed", data=data, id=f"e{number}"))
        home, register, _ = only_register(routed)
        key = match_key("closed", "data.user", f"u{number}")
        partition = keys.partition_of_key(key, P)
        assert len(register.listeners) == 3
        if partition == home:
            assert set(routed.drafts) == {home}
            continue
        elsewhere += 1
        [(found, listen)] = commands(routed, Listen)
        assert isinstance(listen, Listen)
        assert found == partition
        assert listen.run_id == register.run_id
        assert [one.key for one in listen.listeners] == [key]
        assert routed.drafts[found].event == b"", "nobody reads the event there"
    assert elsewhere


def test_cancel_goes_where_its_key_meets(registry: Registry, apply: Apply) -> None:
    """A cancel event goes to one partition per key, with the event."""
    apply("ship", ["placed"], BY_ORDER)
    record = an_event("dropped", data={"order": 1.0})
    routed = route(registry, record)
    key = match_key("dropped", "data.order", 1)
    assert commands(routed, Cancel) == [(keys.partition_of_key(key, P), Cancel((Match(key),)))]
    assert next(iter(routed.drafts.values())).event == record.value


def test_cancel_without_a_key_goes_nowhere(registry: Registry, apply: Apply) -> None:
    """A cancel event that can match nothing gives no command."""
    apply("ship", ["placed"], BY_ORDER)
    assert route(registry, an_event("dropped")).drafts == {}


def test_unscoped_cancel_goes_everywhere(registry: Registry, apply: Apply) -> None:
    """Every partition has some of the runs that a scanned rule may cancel."""
    apply("ship", ["placed"], ALL)
    found = commands(route(registry, an_event("stopped")), Cancel)
    match = Match(keys.scan_key(SHIP, "stopped"), 0, everywhere=True)
    assert found == [(partition, Cancel((match,))) for partition in range(P)]


def test_one_event_gives_one_cancel_per_partition(registry: Registry, apply: Apply) -> None:
    """Matches of several functions for one partition travel together."""
    for number in range(20):
        apply(f"f{number}", [], BY_ORDER)
    found = commands(route(registry, an_event("dropped", data={"order": "o"}), 2), Cancel)
    assert len(found) == 2
    assert sum(len(one.matches) for _, one in found if isinstance(one, Cancel)) == 20


def test_event_that_triggers_cancels_inside_its_registration(
    registry: Registry, apply: Apply
) -> None:
    """Latest wins: the home alone knows a repeat, so it sends the cancels on (S10)."""
    latest = CancelRule(event="placed", match="data.user")
    apply("ship", ["placed"], latest, CancelRule(event="placed", all_runs=True))
    apply("bill", [], CancelRule(event="placed", match="data.user"))
    routed = route(registry, an_event("placed", data={"user": "u"}))
    _, register, _ = only_register(routed)
    key = match_key("placed", "data.user", "u")
    scan = Match(keys.scan_key(SHIP, "placed"), 0, everywhere=True)
    assert set(register.cancels) == {Match(key), scan}
    billed = match_key("placed", "data.user", "u", "shop-bill")
    assert [one for _, one in commands(routed, Cancel)] == [Cancel((Match(billed),))]


def test_condition_decides_whether_a_run_starts(registry: Registry, apply: Apply) -> None:
    """A trigger's `if` must be true; where it is not, the event cancels as any other (S1)."""
    trigger = Trigger(event="placed", if_="event.data.pages > 0")
    apply("ship", [trigger], CancelRule(event="placed", match="data.user"))
    routed = route(registry, an_event("placed", data={"pages": 1, "user": "u"}))
    assert len(commands(routed, Register)) == 1
    assert commands(routed, Cancel) == []
    routed = route(registry, an_event("placed", data={"pages": 0, "user": "u"}))
    assert commands(routed, Register) == []
    assert len(commands(routed, Cancel)) == 1


def test_condition_without_an_answer_starts_nothing(registry: Registry, apply: Apply) -> None:
    """An `if` that errors is not true, and is told with the function's name (S16)."""
    apply("ship", [Trigger(event="placed", if_="event.data.pages > 0")])
    routed = route(registry, an_event("placed"))
    assert routed.drafts == {}
    assert [slug for slug, _ in routed.errors] == [SHIP]


def test_future_ts_delays_dispatch(registry: Registry, apply: Apply) -> None:
    """A ts after the receipt says when to dispatch; one before it says nothing."""
    apply("ship", ["placed"])
    _, register, _ = only_register(route(registry, an_event("placed", ts=RECEIVED + 1)))
    assert register.dispatch_at == RECEIVED + 1
    _, register, _ = only_register(route(registry, an_event("placed", ts=RECEIVED - 1)))
    assert register.dispatch_at == 0


def test_ts_beyond_pending_for_is_refused_by_function(registry: Registry, apply: Apply) -> None:
    """A run that would be given up before it starts isn't registered; others are."""
    apply("ship", ["placed"], pending_for_ms=1_000)
    apply("bill", ["placed"], pending_for_ms=1_001)
    routed = route(registry, an_event("placed", ts=RECEIVED + 1_001))
    assert [one.kind for one in routed.rejections] == ["ts_too_far"]
    assert SHIP in routed.rejections[0].message
    _, register, draft = only_register(routed)
    assert draft.definitions[register.definition].slug == "shop-bill"


def test_several_functions_register_in_one_entry(registry: Registry, apply: Apply) -> None:
    """One event's registrations for one partition are one entry, each with its own version."""
    for number in range(5):
        apply(f"f{number}", ["placed"])
    [draft] = route(registry, an_event("placed"), partitions=1).drafts.values()
    slugs = [
        draft.definitions[one.definition].slug for one in draft.commands if type(one) is Register
    ]
    assert sorted(slugs) == [f"shop-f{number}" for number in range(5)]


def test_home_of_one_run_may_be_where_another_listens(registry: Registry, apply: Apply) -> None:
    """A registration has its event, also where another function's run listens already."""
    apply("bill", ["placed"], BY_USER, BY_ORDER)
    apply("ship", ["placed"], BY_ORDER, BY_USER)
    shared = 0
    for number in range(60):
        data = {"order": f"o{number}", "user": f"u{number}"}
        record = an_event("placed", data=data, id=f"e{number}")
        for draft in route(registry, record, 3).drafts.values():
            kinds = [type(command) for command in draft.commands]
            shared += kinds == [Listen, Register]
            assert draft.event == (record.value if Register in kinds else b"")
    assert shared, "there were such events"


def test_version_is_the_one_valid_when_received(registry: Registry, apply: Apply) -> None:
    """A repeat is routed as it was at first, whatever was applied since; old rules still cancel."""
    apply("ship", ["placed"], BY_ORDER, at=RECEIVED - 10)
    apply("ship", ["placed"], BY_USER, at=RECEIVED)
    version = {}
    for received in (RECEIVED - 11, RECEIVED - 1, RECEIVED):
        routed = route(registry, an_event("placed", received=received))
        found = commands(routed, Register)
        version[received] = [draft.definitions[0].version for draft in routed.drafts.values()]
        assert len(found) == len(version[received])
    assert version == {RECEIVED - 11: [], RECEIVED - 1: [0], RECEIVED: [1]}
    assert len(commands(route(registry, an_event("dropped", data={"order": 1})), Cancel)) == 1
    early = an_event("closed", received=RECEIVED - 1, data={"user": 1})
    assert commands(route(registry, early), Cancel) == []


def test_cancellation_never_starts_its_own_function(registry: Registry, apply: Apply) -> None:
    """A function may be triggered by cancellations of others, not of its own runs."""
    apply("ship", ["function.cancelled"])
    routed = route(registry, an_event("function.cancelled", data={"function_id": SHIP}))
    assert routed.drafts == {}
    routed = route(registry, an_event("function.cancelled", data={"function_id": "shop-bill"}))
    assert len(commands(routed, Register)) == 1


def test_repeat_is_routed_alike(registry: Registry, apply: Apply) -> None:
    """The same record gives the same output each time."""
    apply("ship", ["placed"], BY_ORDER, BY_USER, ALL, CancelRule(event="placed", match="data.user"))
    record = an_event("placed", data={"order": "o1", "user": "u1"})
    assert route(registry, record) == route(registry, record)
