"""What applying functions would change, and which versions can be tombstoned."""

from streams.functions.changes import Change, compare, rule_reports, superseded
from streams.functions.registry import Registry
from topology import codec, limits
from topology.records import CancelRule, Function, Trigger

DAY = limits.DAY_MS
DELAY = limits.VALID_FROM_DELAY_MS


def function(*rules: CancelRule, pending_days: int = 3, deleted: bool = False) -> Function:
    """A version of shop-ship."""
    return Function(
        app="shop",
        id="ship",
        triggers=() if deleted else (Trigger(event="placed"),),
        cancel_on=rules,
        pending_for_ms=pending_days * DAY,
    )


def registry_of(*records: tuple[int, Function]) -> Registry:
    """A registry of (append day, version)."""
    registry = Registry()
    for offset, (day, version) in enumerate(records):
        key = f"{version.slug}/{offset}".encode()
        registry.apply(offset, day * DAY - DELAY, key, codec.encode_function(version))
    return registry


def over(registry: Registry, day: int) -> list[int]:
    """The versions that can be tombstoned on a day."""
    return [version.compiled.version for version in superseded(registry, day * DAY)]


def test_changed_fields_are_told_in_the_words_of_the_file() -> None:
    """A change lists each changed value, durations as people write them."""
    before = function(CancelRule(event="dropped", match="data.id", timeout_ms=limits.HOUR_MS))
    after = function(CancelRule(event="dropped", match="data.id"), pending_days=4)
    (difference,) = compare(registry_of((1, before)), [after])
    assert difference.change is Change.CHANGED
    assert [(change.field, change.before, change.after) for change in difference.fields] == [
        ("cancel_on[0].timeout", "1h", None),
        ("pending_for", "3d", "4d"),
    ]


def test_a_deleted_function_is_new_again() -> None:
    """A definition that is applied after its deletion is a new function."""
    registry = registry_of((1, function()), (2, function(deleted=True)))
    (difference,) = compare(registry, [function()])
    assert difference.change is Change.NEW
    assert ("id", None, "ship") in [
        (change.field, change.before, change.after) for change in difference.fields
    ]


def test_an_older_equal_version_is_no_reason_to_write_nothing() -> None:
    """Only the newest version is compared, so going back to an older one is a change."""
    other = function(CancelRule(event="dropped", match="data.id"))
    (difference,) = compare(registry_of((1, function()), (2, other)), [function()])
    assert difference.change is Change.CHANGED


def test_rules_say_how_they_find_their_runs() -> None:
    """A report says whether a rule is indexed, evaluated or scans, and whether it is compiled."""
    reports = rule_reports(
        function(
            CancelRule(event="a", match='data["report-id"]'),
            CancelRule(event="b", if_="event.data.x == async.data.y && async.data.n > 3"),
            CancelRule(event="c", if_="timestamp(event.data.at) < timestamp(async.data.at)"),
            CancelRule(event="d", all_runs=True),
        )
    )
    assert [report.keys for report in reports] == [
        (("data['report-id']",),),
        (("data.y",),),
        (),
        (),
    ]
    assert [report.indexed for report in reports] == [True, True, False, False]
    assert [report.evaluated for report in reports] == [False, True, True, False]
    assert [report.compiled for report in reports] == [True, True, False, True]


def test_a_version_goes_when_no_run_of_it_can_be_pending() -> None:
    """It is kept for `pending_for` and a day after the next version became valid."""
    registry = registry_of((1, function()), (10, function(pending_days=30)))
    assert over(registry, 13) == []
    assert over(registry, 14) == [0]
    assert over(registry, 400) == [0]


def test_versions_go_oldest_first() -> None:
    """A version that is kept for a long `pending_for` keeps the versions after it, too."""
    registry = registry_of(
        (1, function(pending_days=100)), (2, function(pending_days=1)), (3, function())
    )
    assert over(registry, 50) == []
    assert over(registry, 103) == [0, 1]


def test_a_deletion_goes_last() -> None:
    """Without the deletion's version, the version before it would start runs again."""
    registry = registry_of(
        (1, function(pending_days=100)), (2, function(pending_days=1, deleted=True))
    )
    assert over(registry, 50) == []
    assert over(registry, 103) == [0, 1]


def test_a_version_of_another_app_and_id_goes_at_once() -> None:
    """It routes no events, and must not begin to when the owner of the slug is gone."""
    registry = registry_of((1, function()))
    other = codec.encode_function(Function(app="shop-sh", id="ip"))
    registry.apply(1, DAY, b"shop-ship/other", other)
    assert over(registry, 2) == []
    twin = codec.encode_function(Function(app="sho", id="p-ship"))
    assert registry.damaged == 1
    registry.apply(2, DAY, b"sho-p-ship/1", twin)
    registry.apply(3, DAY, b"sho-p-ship/2", codec.encode_function(Function(app="sho-p", id="ship")))
    assert over(registry, 2) == [3]
