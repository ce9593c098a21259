"""Contestants go by turns, in another order in each round."""

from tests.bench import turns


def test_each_round_has_another_order() -> None:
    """Five rounds of three: no order comes twice, and each contestant is first and last."""
    orders = turns.orders(["a", "b", "c"], 5)
    assert orders == [list("abc"), list("acb"), list("cab"), list("cba"), list("bca")]


def test_one_that_cannot_run_has_no_results() -> None:
    """The others have one of each round, in the order of rounds."""
    numbers = iter(range(10))
    found = turns.by_turns({"a": lambda: next(numbers), "b": lambda: None}, 3)
    assert found == {"a": [0, 1, 2]}


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """One slow minute that both had, or one alone, doesn't change it."""
    assert turns.ratio([10.0, 20.0, 300.0], [5.0, 10.0, 10.0]) == 2
