"""Cancel events that come twice, for rules with `dedupe` and without (S36)."""

import orjson
import pytest

from streams.joiner.decide.view import Bounds
from streams.matching import canonical
from tests.support.driver import Driver, Sent
from topology import held_rows, keys, limits
from topology.tables import Space

FUNCTIONS = """
functions:
  - {id: once, app: mail, triggers: [{event: start}],
     cancel_on: [{event: stop, match: data.user, dedupe: 24h}]}
  - {id: each, app: mail, triggers: [{event: start}],
     cancel_on: [{event: stop, match: data.user}]}
"""
ONCE, EACH = "mail-once", "mail-each"


def start(driver: Driver, user: str = "u", at: int | None = None) -> Sent:
    """Produce an event that starts a run of each function."""
    return driver.event("start", user=user, at=at)


def statuses(driver: Driver, function: str) -> list[str]:
    """The statuses of a function's runs, by received time."""
    return [run["status"] for run in driver.runs(function=function)]


def test_s36_a_repeat_cancels_what_the_first_could() -> None:
    """An outbox sends a cancel again after the user has begun anew; without dedupe it counts."""
    driver = Driver(FUNCTIONS)
    start(driver)
    driver.cancel("stop", id="c1", user="u")
    start(driver)
    driver.cancel("stop", id="c1", user="u")
    assert statuses(driver, ONCE) == ["cancelled", "scheduled"]
    assert statuses(driver, EACH) == ["cancelled", "cancelled"]
    assert driver.count("repeated_cancels") == 1


def test_s36_it_reaches_runs_that_register_late() -> None:
    """A run that was received before the first is cancelled, whenever it is read."""
    driver = Driver(FUNCTIONS)
    at = driver.now + 1
    driver.cancel("stop", id="c1", user="u", at=at + 10)
    with driver.unread():
        early = driver.event("start", user="u", at=at)
        late = driver.event("start", user="u", at=at + 20)
    driver.cancel("stop", id="c1", user="u", at=at + 30)
    driver.read()
    assert driver.run(early, ONCE)["status"] == "cancelled"
    assert driver.run(late, ONCE)["status"] == "scheduled"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"id": "c1", "user": "u"}, {"id": "c2", "user": "u"}),
        ({"id": "c1", "user": "v"}, {"id": "c1", "user": "u"}),
        ({"user": "u"}, {"user": "u"}),
    ],
    ids=["another id", "another match key", "ids of their own"],
)
def test_s36_what_is_no_repeat(first: dict[str, str], second: dict[str, str]) -> None:
    """A repeat has the identity and the match key of the first."""
    driver = Driver(FUNCTIONS)
    driver.cancel("stop", **first)
    start(driver)
    driver.cancel("stop", **second)
    assert statuses(driver, ONCE) == ["cancelled"]


def test_s36_after_its_time_the_same_event_counts_again() -> None:
    """The time runs from the first; then another first begins."""
    driver = Driver(FUNCTIONS)
    driver.cancel("stop", id="c1", user="u")
    for hours, status in ((23, "scheduled"), (2, "cancelled"), (23, "scheduled")):
        driver.advance(f"{hours}h")
        run = start(driver)
        driver.cancel("stop", id="c1", user="u")
        assert driver.run(run, ONCE)["status"] == status


def test_s36_the_note_goes_when_no_repeat_can_come() -> None:
    """It is a row of its partition, it survives a crash, and ends by the watermark."""
    driver = Driver(FUNCTIONS)
    driver.cancel("stop", id="c1", user="u")
    driver.restart()
    start(driver)
    driver.cancel("stop", id="c1", user="u")
    assert statuses(driver, ONCE) == ["scheduled"]
    assert len(driver.rows(Space.FIRST_CANCEL)) == 1
    driver.advance("47h")
    assert len(driver.rows(Space.FIRST_CANCEL)) == 1, "a repeat may wait where a partition is down"
    driver.advance("2h")
    assert driver.rows(Space.FIRST_CANCEL) == []


def test_s36_a_note_takes_at_most_150_bytes() -> None:
    """In the changelog; the topic's name has 40 characters here."""
    topic = "x" * 40
    driver = Driver(FUNCTIONS, inputs=({"topic": "events"}, {"topic": topic}))
    before = sum(len(log) for log in _state(driver))
    driver.event("stop", topic=topic, id="c1", user="u")
    notes = [len(one) for one in _state(driver) if one[:1] == Space.FIRST_CANCEL.value]
    assert before >= 0
    assert len(notes) == 1
    assert notes[0] <= 150


def _state(driver: Driver) -> list[bytes]:
    """Key and value of the records of `state`, one after the other."""
    return [(one.key or b"") + (one.value or b"") for one in driver.cluster.records("state")]


def test_s36_the_first_is_the_earliest_that_was_applied() -> None:
    """One that was received earlier, and is read later, takes the place of the first."""
    driver = Driver(FUNCTIONS)
    at = driver.now + 1
    driver.cancel("stop", id="c1", user="u", at=at + 20)
    with driver.unread():
        driver.cancel("stop", id="c1", user="u", at=at + 10, partition=1)
        between = driver.event("start", user="u", at=at + 15)
    driver.read()
    driver.cancel("stop", id="c1", user="u", at=at + 30)
    assert driver.run(between, ONCE)["status"] == "cancelled", "by the first that was applied"
    assert len(driver.rows(Space.FIRST_CANCEL)) == 1
    [(key, _)] = driver.rows(Space.FIRST_CANCEL)
    assert held_rows.held_until(key) == at + 10 + 2 * limits.DAY_MS


def test_s36_early_cancels_reach_from_the_first() -> None:
    """S12 and S36: a repeat doesn't prolong an early cancel."""
    driver = Driver("""
functions:
  - {id: once, app: mail, triggers: [{event: start}],
     cancel_on: [{event: stop, match: data.user, dedupe: 24h, early_cancel: 10m}]}
""")
    driver.cancel("stop", id="c1", user="u")
    driver.advance("9m")
    start(driver)
    driver.cancel("stop", id="c1", user="u")
    driver.advance("2m")
    start(driver)
    assert statuses(driver, ONCE) == ["cancelled", "scheduled"]


def test_s36_a_rule_that_scans_has_repeats_too() -> None:
    """Every partition has noted the first."""
    driver = Driver("""
functions:
  - {id: once, app: mail, triggers: [{event: start}],
     cancel_on: [{event: stop, if: "async.data.n > event.data.n", dedupe: 1h}]}
""")
    runs = []
    for _ in range(2):
        runs += [driver.event("start", n=n) for n in range(6)]
        driver.cancel("stop", id="c1", n=9)
    assert [driver.status(run) for run in runs] == ["cancelled"] * 6 + ["scheduled"] * 6


def test_s36_an_event_that_also_triggers_has_repeats_too() -> None:
    """Both ways consult one row: as a trigger of a new run, and as a cancel alone."""
    driver = Driver("""
functions:
  - {id: once, app: mail, triggers: [{event: saved, if: "event.data.starts"}, {event: start}],
     cancel_on: [{event: saved, match: data.user, dedupe: 24h}]}
""")
    driver.event("saved", id="s1", user="u", starts=True)
    driver.event("start", id="t1", user="u")
    driver.event("saved", id="s1", user="u", starts=False)
    assert statuses(driver, ONCE) == ["scheduled", "scheduled"]
    driver.event("saved", id="s2", user="u", starts=False)
    assert statuses(driver, ONCE) == ["cancelled", "cancelled"]


def test_s36_each_rule_has_its_own_time() -> None:
    """Rules that share a match key, and versions of a rule, don't disturb each other."""
    driver = Driver("""
functions:
  - {id: short, app: mail, triggers: [{event: start, if: "event.data.f == 1"}],
     cancel_on: [{event: stop, match: data.user, dedupe: 1h}]}
  - id: both
    app: mail
    triggers: [{event: start}]
    cancel_on:
      - {event: stop, if: "event.data.user == async.data.user && event.data.f == 1", dedupe: 1h}
      - {event: stop, if: "event.data.user == async.data.user && event.data.f == 2", dedupe: 24h}
      - {event: stop, if: "event.data.user == async.data.user && event.data.f == 3"}
""")
    driver.cancel("stop", id="c1", user="u")
    expected = {
        30: ["scheduled", "scheduled", "cancelled"],
        60: ["cancelled", "scheduled", "cancelled"],
    }
    for minutes, wanted in expected.items():
        driver.advance(f"{minutes}m")
        runs = [driver.event("start", user="u", f=f) for f in (1, 2, 3)]
        driver.cancel("stop", id="c1", user="u")
        assert [driver.run(run, "mail-both")["status"] for run in runs] == wanted


def test_s36_a_rule_may_get_another_time() -> None:
    """What was first stays so, if it lies within the new time."""
    for dedupe in ("12h", "48h"):
        driver = Driver(FUNCTIONS)
        start(driver)
        driver.cancel("stop", id="c1", user="u")
        driver.apply(FUNCTIONS.replace("24h", dedupe))
        start(driver)
        driver.cancel("stop", id="c1", user="u")
        assert statuses(driver, ONCE) == ["cancelled", "scheduled"]


def test_s36_an_event_without_an_id_leaves_no_note() -> None:
    """Nothing can repeat it."""
    driver = Driver(FUNCTIONS)
    driver.record(orjson.dumps({"name": "stop", "data": {"user": "u"}}))
    assert driver.rows(Space.FIRST_CANCEL) == []


def test_s36_a_timeout_counts_from_the_repeat() -> None:
    """S13: a rule that has listened long enough isn't met by a late repeat either."""
    driver = Driver("""
functions:
  - id: once
    app: mail
    triggers: [{event: start}]
    cancel_on: [{event: stop, if: "event.data.user == async.data.user && async.data.hard",
      dedupe: 24h, timeout: 1h}]
""")
    run = start(driver)
    driver.cancel("stop", id="c1", user="u", hard=False)
    driver.advance("2h")
    driver.cancel("stop", id="c1", user="u", hard=True)
    assert driver.status(run) == "scheduled"


TWO_KEYS = """
functions:
  - id: once
    app: mail
    triggers: [{event: start}]
    cancel_on:
      - {event: other, match: data.home}
      - {event: stop, match: data.user, dedupe: 24h}
      - {event: stop, match: data.team, dedupe: 1h}
"""


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("first", "again", "status"),
    [
        ({"user": "u", "team": "t"}, {"user": "u", "team": "t"}, "scheduled"),
        ({"user": "nobody", "team": "t"}, {"user": "u", "team": "t"}, "cancelled"),
    ],
)
def test_s36_each_match_key_has_its_own_first(
    first: dict[str, str], again: dict[str, str], status: str, seed: int
) -> None:
    """Also where both reach a run's home before the run is registered there."""
    driver = Driver(TWO_KEYS, partitions=7)
    driver.cancel("stop", id="c1", **first)
    key = keys.MatchKeys(ONCE, "other", (("data", "home"),)).key(canonical((f"h{seed}",)))
    with driver.commands_late(keys.partition_of_key(key, 7)):
        run = driver.event("start", home=f"h{seed}", user="u", team="t")
        driver.cancel("stop", id="c1", **again)
    assert driver.status(run) == status


@pytest.mark.parametrize("pad", [100, 550, 560, 570, 580, 590, 600])
def test_s36_no_repeat_overtakes_a_first_that_goes_on_later(pad: int) -> None:
    """S39: of a cancel event that fills its transaction, a match goes on behind other work."""
    small = limits.Allowance(bytes=4_000, cost=20_000)
    bounds = Bounds(slice_decisions=2, met_at_once=1, timers=small, slice=small, input=small)
    driver = Driver(
        FUNCTIONS.replace("data.user}", "data.user, dedupe: 24h}")
        + """
  - {id: busy, app: mail, triggers: [{event: work}], cancel_on: [{event: halt, match: data.k}]}
""",
        partitions=1,
        bounds=bounds,
    )
    for number in range(40):
        driver.event("work", k=number % 5)
    with driver.unread():
        for number in range(5):
            driver.event("halt", k=number)
        driver.event("start", id="filler", user="zz", pad="x" * pad)
        driver.event("stop", id="c1", user="u")
        run = driver.event("start", user="u")
        driver.event("stop", id="c1", user="u")
    driver.read()
    assert [one["status"] for one in driver.runs(run)] == ["scheduled"] * 2
