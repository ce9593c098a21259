"""Which sources count for the watermark while answers of the brokers are incomplete."""

from streams.joiner.known_sources import KnownSources

ORDERS = frozenset({(b"o" * 16, 0), (b"o" * 16, 1)})
UPDATES = frozenset({(b"u" * 16, 0)})
BOTH = {"orders": ORDERS, "updates": UPDATES}


def test_a_topic_that_one_answer_lacks_still_counts() -> None:
    """Its sources would let the watermark jump over records that are there."""
    known = KnownSources(BOTH)
    assert known.answered(BOTH, 0) == ORDERS | UPDATES

    assert known.answered({"updates": UPDATES}, 10) == ORDERS | UPDATES
    assert known.answered(BOTH, 20) == ORDERS | UPDATES
    assert known.answered({"updates": UPDATES}, 200) == ORDERS | UPDATES, "a new absence"


def test_a_topic_is_gone_after_a_minute_and_several_answers() -> None:
    """Neither two answers an hour apart nor many within a minute are enough."""
    known = KnownSources(BOTH)
    known.answered(BOTH, 0)
    for now in (10, 20, 30):
        assert known.answered({"updates": UPDATES}, now) == ORDERS | UPDATES
    assert known.answered({"updates": UPDATES}, 70) == UPDATES

    slow = KnownSources(BOTH)
    slow.answered(BOTH, 0)
    assert slow.answered({"updates": UPDATES}, 10) == ORDERS | UPDATES
    assert slow.answered({"updates": UPDATES}, 4_000) == ORDERS | UPDATES
    assert slow.answered({"updates": UPDATES}, 4_001) == UPDATES


def test_a_topic_that_was_never_seen_holds_up_the_watermark() -> None:
    """At a start nobody knows yet which sources it has; after a minute it has none."""
    known = KnownSources(BOTH)
    for now in (0, 30, 59):
        assert known.answered({"updates": UPDATES}, now) == frozenset()
    assert known.answered({"updates": UPDATES}, 60) == UPDATES


def test_a_topic_that_was_made_anew_counts_with_its_new_id() -> None:
    """Records of the old one can't be read any more."""
    known = KnownSources(["orders"])
    known.answered({"orders": ORDERS}, 0)
    again = frozenset({(b"p" * 16, 0)})
    assert known.answered({"orders": again}, 10) == again
