"""What applying would change, and which versions may go."""

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


def registry(*records: tuple[int, Function]) -> Registry:
    """A registry of (append day, version)."""
    found = Registry()
    for offset, (day, version) in enumerate(records):
        key = f"{version.slug}/{offset}".encode()
        found.apply(offset, day * DAY - DELAY, key, codec.encode_function(version))
    return found


def over(found: Registry, day: int) -> list[int]:
    """The versions that may go on a day."""
    return [one.compiled.version for one in superseded(found, day * DAY)]


def test_changed_fields_are_told_in_the_words_of_the_file() -> None:
    """Durations as people write them, one line per value."""
    before = function(CancelRule(event="dropped", match="data.id", timeout_ms=limits.HOUR_MS))
    after = function(CancelRule(event="dropped", match="data.id"), pending_days=4)
    (difference,) = compare(registry((1, before)), [after])
    assert difference.change is Change.CHANGED
    assert [(one.field, one.before, one.after) for one in difference.fields] == [
        ("cancel_on[0].timeout", "1h", None),
        ("pending_for", "3d", "4d"),
    ]


def test_a_deleted_function_is_new_again() -> None:
    """Applying it once more brings it back."""
    found = registry((1, function()), (2, function(deleted=True)))
    (difference,) = compare(found, [function()])
    assert difference.change is Change.NEW
    assert ("id", None, "ship") in [(one.field, one.before, one.after) for one in difference.fields]


def test_an_older_equal_version_is_no_reason_to_write_nothing() -> None:
    """Only the newest counts: going back is a change."""
    other = function(CancelRule(event="dropped", match="data.id"))
    (difference,) = compare(registry((1, function()), (2, other)), [function()])
    assert difference.change is Change.CHANGED


def test_rules_say_how_they_find_their_runs() -> None:
    """Indexed, indexed and then evaluated, or scanning; compiled or not."""
    reports = rule_reports(
        function(
            CancelRule(event="a", match='data["report-id"]'),
            CancelRule(event="b", if_="event.data.x == async.data.y && async.data.n > 3"),
            CancelRule(event="c", if_="timestamp(event.data.at) < timestamp(async.data.at)"),
            CancelRule(event="d", all_runs=True),
        )
    )
    assert [one.keys for one in reports] == [(("data['report-id']",),), (("data.y",),), (), ()]
    assert [one.indexed for one in reports] == [True, True, False, False]
    assert [one.evaluated for one in reports] == [False, True, True, False]
    assert [one.compiled for one in reports] == [True, True, False, True]


def test_a_version_goes_when_no_run_of_it_can_be_pending() -> None:
    """`pending_for` and a day after the next one took over."""
    found = registry((1, function()), (10, function(pending_days=30)))
    assert over(found, 13) == []
    assert over(found, 14) == [0]
    assert over(found, 400) == [0]


def test_versions_go_oldest_first() -> None:
    """One with a long `pending_for` keeps those after it."""
    found = registry(
        (1, function(pending_days=100)), (2, function(pending_days=1)), (3, function())
    )
    assert over(found, 50) == []
    assert over(found, 103) == [0, 1]


def test_a_deletion_goes_last() -> None:
    """Else the version before it would start runs again."""
    found = registry((1, function(pending_days=100)), (2, function(pending_days=1, deleted=True)))
    assert over(found, 50) == []
    assert over(found, 103) == [0, 1]


def test_a_version_of_another_app_and_id_goes_at_once() -> None:
    """It never routes anything, and must not begin to when the owner of the slug is gone."""
    found = registry((1, function()))
    other = codec.encode_function(Function(app="shop-sh", id="ip"))
    found.apply(1, DAY, b"shop-ship/other", other)
    assert over(found, 2) == []
    twin = codec.encode_function(Function(app="sho", id="p-ship"))
    assert found.damaged == 1
    found.apply(2, DAY, b"sho-p-ship/1", twin)
    found.apply(3, DAY, b"sho-p-ship/2", codec.encode_function(Function(app="sho-p", id="ship")))
    assert over(found, 2) == [3]
