"""Claims of completeness: true, never going back, and moving on where nothing comes."""

import pytest

from streams.router.watermarks import Claim, SourceProgress
from topology.limits import IDLE_SLACK_MS

NOW = 1_000_000


@pytest.fixture
def source() -> SourceProgress:
    """A source that was just assigned."""
    return SourceProgress()


def test_nothing_is_claimed_before_anything_is_read(source: SourceProgress) -> None:
    """Where reading begins isn't known yet, so an early answer about the end proves nothing."""
    source.answered(NOW, 0)
    assert source.claim() is None


def test_records_are_claimed_as_read(source: SourceProgress) -> None:
    """After a record received at T none received before T comes."""
    source.read(16, 900, NOW)
    assert source.claim() == Claim(16, 900)
    source.read(17, 950, NOW)
    assert source.claim() == Claim(17, 950)


def test_idle_source_moves_on_with_the_leaders_answers(source: SourceProgress) -> None:
    """An empty source is complete up to 2 s before its leader said so."""
    source.reached(0)
    assert source.claim() == Claim(-1, 0)
    source.answered(NOW, 0)
    assert source.claim() == Claim(-1, NOW - IDLE_SLACK_MS)
    source.answered(NOW + 500, 0)
    assert source.claim() == Claim(-1, NOW + 500 - IDLE_SLACK_MS)


def test_end_counts_only_once_it_is_reached(source: SourceProgress) -> None:
    """What lay below the end when it was asked for has to be read first."""
    source.read(9, 900, NOW)
    source.answered(NOW, 12)
    assert source.claim() == Claim(9, 900)
    source.read(10, 901, NOW)
    assert source.claim() == Claim(10, 901)
    source.read(11, 902, NOW)
    assert source.claim() == Claim(11, NOW - IDLE_SLACK_MS)


def test_trailing_markers_count_as_read(source: SourceProgress) -> None:
    """The end of a committed or aborted transaction is no record, but the consumer passes it."""
    source.read(9, 900, NOW)
    source.answered(NOW, 11)
    source.reached(11)
    assert source.claim() == Claim(10, NOW - IDLE_SLACK_MS)


def test_open_transaction_holds_the_source(source: SourceProgress) -> None:
    """What is in an open transaction was received already: it is still to come."""
    source.read(9, 900, NOW)
    source.reached(10)
    source.answered(NOW, 11)
    source.answered(NOW + 60_000, 11)
    assert source.claim() == Claim(9, 900)


def test_first_open_answer_is_kept_under_load(source: SourceProgress) -> None:
    """A newer end that runs away doesn't take the place of one that can be reached."""
    source.read(0, 100, NOW)
    source.answered(NOW, 2)
    source.answered(NOW + 500, 1_000)
    source.read(1, 101, NOW)
    assert source.claim() == Claim(1, NOW - IDLE_SLACK_MS)


def test_time_never_goes_back(source: SourceProgress) -> None:
    """Neither an old record (CreateTime) nor a clock set back moves a claim back."""
    source.read(0, 900, NOW)
    source.read(1, 100, NOW)
    assert source.claim() == Claim(1, 900)
    source.answered(2_000, 2)
    assert source.claim() == Claim(1, 900)


def test_record_from_the_future_claims_nothing(source: SourceProgress) -> None:
    """A producer whose clock is ahead doesn't make late what others write meanwhile."""
    source.read(0, NOW - 1, NOW)
    source.read(1, NOW + 3_600_000, NOW)
    assert source.claim() == Claim(1, NOW - 1)


def test_records_read_twice_change_nothing(source: SourceProgress) -> None:
    """Around a rebalance some records are read again."""
    source.read(20, 900, NOW)
    source.read(15, 890, NOW)
    source.reached(16)
    assert source.claim() == Claim(20, 900)
    assert source.next_offset == 21
