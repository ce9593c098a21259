"""S37: no expression takes more than its share of an evaluation, an event or a transaction."""

from streams.matching import limits as matching_limits
from tests.support.driver import Driver
from topology import limits

# Takes a whole budget for any event, so that no large event is needed; not closed, so not refused.
BOMB = "[[[event.ts]]]" + ".map(x,x+x)" * 9 + "[0]" + ".map(x,x+x)" * 12 + ".exists(x, 2 in x)"
FUNCTIONS = f"""
functions:
  - id: generate
    app: reports
    triggers: [{{event: report/requested}}]
    cancel_on:
      - {{event: report/cancelled, if: "event.data.user == async.data.user && {BOMB}"}}
      - {{event: account/closed, match: data.user}}
  - id: bill
    app: reports
    triggers: [{{event: report/requested}}]
    cancel_on: [{{event: report/cancelled, match: data.user}}]
"""
RUNS = 12
FAILED = ("evaluation_errors",)


def started(functions: str = FUNCTIONS, partitions: int = 1) -> Driver:
    """A driver with some runs of one user."""
    driver = Driver(functions, partitions=partitions)
    for number in range(RUNS):
        driver.event("report/requested", user="u1", number=number)
    return driver


def failures(driver: Driver) -> int:
    """How many evaluations of joiners had no answer."""
    return sum(one.recorded.counts[FAILED] for one in driver.partitions)


def most_cost(driver: Driver) -> float:
    """What the evaluations of one transaction have cost at most."""
    return max(one.cost for part in driver.partitions for one in part.recorded.transactions)


def test_a_cancel_event_over_its_budget_is_one_dead_letter() -> None:
    """However many runs it meets; and other functions' runs are cancelled."""
    driver = started()

    cancel = driver.cancel("report/cancelled", user="u1")

    assert failures(driver) == RUNS
    cancelled = {run["function_id"] for run in driver.runs() if run["status"] == "cancelled"}
    assert cancelled == {"reports-bill"}
    [letter] = driver.dead_letters()
    assert letter["class"] == "evaluation_budget"
    assert (letter["topic"], letter["offset"]) == (cancel.topic, str(cancel.offset))
    assert letter["message"].startswith("reports-generate: cancel_on[0]: ")
    driver.cancel("account/closed", user="u1")
    assert {run["status"] for run in driver.runs()} == {"cancelled"}


def test_each_deciding_partition_tells_of_it_once() -> None:
    """Runs with several homes, a restart amid the work, and a cancel event that is held."""
    functions = FUNCTIONS.replace(
        "event.data.user == async.data.user", "event.data.number == async.data.number"
    ).replace(
        "- {event: account/closed, match: data.user}",
        "- {event: report/cancelled, if: "
        f'"event.data.user == async.data.user && {BOMB}", early_cancel: 1h}}',
    )
    driver = started(functions, partitions=3)
    with driver.down():
        driver.cancel("report/cancelled", user="u1")
    driver.restart()
    homes = {number for number, one in enumerate(driver.partitions) if one.recorded.counts[FAILED]}
    assert failures(driver) == RUNS
    assert len(homes) > 1
    assert len(driver.dead_letters()) == len(homes)

    driver.event("report/requested", user="u1", number=0)

    assert failures(driver) == RUNS + 1
    assert len(driver.dead_letters()) == len(homes)


def test_the_cost_of_a_transaction_is_bounded_and_the_rest_goes_on() -> None:
    """Input and slices stop at their allowance; what is left has its turn later."""
    driver = started()
    with driver.down():
        driver.cancel("report/cancelled", user="u1")
        request = driver.cancel_runs("reports-generate", if_=BOMB)

    most = limits.INPUT_ALLOWANCE.cost + limits.SLICE_ALLOWANCE.cost
    assert most < RUNS * matching_limits.EVALUATION_BUDGET
    assert most_cost(driver) <= most + 2 * matching_limits.EVALUATION_BUDGET
    assert failures(driver) == RUNS
    driver.advance("1m")
    progress = driver.progress(request)
    assert (progress["states"], progress["failed"]) == (["done"], RUNS)


def test_a_cancellation_over_its_budget_can_be_stopped() -> None:
    """Its slices are short, so that the stop comes between them."""
    driver = started()
    with driver.down():
        request = driver.cancel_runs("reports-generate", if_=BOMB)
        driver.request("stop_cancellation", cancellation_id=request)

    progress = driver.progress(request)
    assert progress["states"] == ["stopped"]
    assert progress["failed"] < RUNS


def test_a_trigger_over_its_budget_starts_no_run_and_is_a_dead_letter() -> None:
    """Other functions of the event have their runs; the event isn't redriven."""
    functions = FUNCTIONS.replace(
        "triggers: [{event: report/requested}]",
        f'triggers: [{{event: report/requested, if: "{BOMB}"}}]',
        1,
    )
    driver = Driver(functions)

    sent = driver.event("report/requested", user="u1")

    assert [run["function_id"] for run in driver.runs(sent)] == ["reports-bill"]
    [letter] = driver.dead_letters()
    assert letter["class"] == "evaluation_budget"
    assert letter["message"].startswith("reports-generate: the trigger's if: ")


def test_an_event_has_one_budget_over_all_functions_that_it_may_start() -> None:
    """A hundred functions with expensive conditions take no longer than a few; all are named."""
    number = 20
    functions = "functions:\n" + "".join(
        f'  - {{app: a, id: f{one:02}, triggers: [{{event: start, if: "{BOMB}"}}]}}\n'
        for one in range(number)
    )
    driver = Driver(functions)

    driver.event("start")

    assert driver.runs() == []
    assert number * matching_limits.EVALUATION_BUDGET > limits.EVENT_COST
    [letter] = driver.dead_letters()
    assert letter["class"] == "evaluation_budget"
    assert letter["message"].count("the trigger's if") > 5


def test_match_values_of_many_functions_have_one_budget_together() -> None:
    """Forty functions that listen for different parts of one large list: keys take time, too."""
    number = 40
    functions = "functions:\n" + "".join(
        f"  - {{app: a, id: f{one:02}, triggers: [{{event: start}}], cancel_on: [{{event: stop, "
        f'if: "event.data.l == async.data.l && event.data.n{one} == async.data.n{one}"}}]}}\n'
        for one in range(number)
    )
    driver = Driver(functions)
    values = {f"n{one}": one for one in range(number)}

    driver.cancel("stop", l=list(range(60_000)), **values)

    [letter] = driver.dead_letters()
    assert letter["class"] == "evaluation_budget"
    assert letter["message"].startswith("a-f")
    assert "match values" in letter["message"]
    assert 0 < letter["message"].count("match values") < number
