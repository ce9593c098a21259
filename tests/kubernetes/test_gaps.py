"""What counts as a gap."""

from tests.kubernetes.gaps import Answer, Gap, longest
from topology.topics import TopicPlace

HOME: TopicPlace = ("runs", 0)
SOURCES: tuple[TopicPlace, ...] = (("events", 0), ("events", 1))


def answer(asked_ms: int, answered_ms: int, source: int = 0, home: int = 0) -> Answer:
    """An event of one of the sources, and its run."""
    return Answer(SOURCES[source], ("runs", home), asked_ms, answered_ms)


def test_a_silence_counts_while_an_event_waits() -> None:
    """From the last answer to the next one, where the next one's event was there already."""
    assert longest([answer(0, 1_000), answer(500, 4_000)]).seconds == 3


def test_a_silence_without_events_is_no_gap() -> None:
    """Of a minute in which nothing was asked, only the time counts that an event waited."""
    assert longest([answer(0, 100), answer(60_000, 60_300)]).seconds == 0.3


def test_the_oldest_event_counts_though_a_later_one_is_answered_first() -> None:
    """An answer that was overtaken waited all the same."""
    answers = [answer(0, 100), answer(9_000, 9_100), answer(1_000, 9_200)]
    assert longest(answers).seconds == 8.1


def test_slow_but_steady_answers_are_no_gap() -> None:
    """Only the wait for the first answer counts, not that for the last."""
    assert longest([answer(0, 10_000 + 100 * n) for n in range(100)]).seconds == 10


def test_a_source_that_nobody_reads_is_seen_though_its_home_goes_on() -> None:
    """The other source's events keep the home busy while a router is away."""
    busy = [answer(t, t + 100, source=1) for t in range(0, 20_000, 1_000)]
    away = [answer(0, 100), answer(2_000, 14_000)]
    assert longest([*busy, *away]) == Gap(12, SOURCES[0])


def test_a_home_that_nobody_owns_is_seen_though_its_sources_go_on() -> None:
    """The other home's runs keep the source busy while a joiner is away."""
    busy = [answer(t, t + 100, home=1) for t in range(0, 20_000, 1_000)]
    away = [answer(0, 100), answer(2_000, 14_000)]
    assert longest([*busy, *away]) == Gap(12, HOME)


def test_nothing_asked_is_no_gap() -> None:
    """A phase without load has no longest gap."""
    assert longest([]).seconds == 0
