"""`read_model_ratio`: the read model's rate while it counts activity, over its rate without that.

The same changes of 1,000 functions are copied again and again, by turns counted and, as after a
rebuild, known to be counted already. The first time warms up; the ratio is the median of pairs.
"""

from statistics import median
from typing import Final

from sqlalchemy import Engine, delete, update

from streams.clock import now_ms
from streams.database.engine import open_database, writing
from streams.database.schema import ACTIVITY, COUNTED
from streams.read_model.positions import Positions
from tests.bench import read_model
from tests.bench.bench import Bench
from tests.bench.deployment import Deployment, say

RUNS: Final = 100_000
PAIRS: Final = 5
_FUNCTIONS: Final = 1_000


def read_model_ratio(bench: Bench, runs: int = RUNS, pairs: int = PAIRS) -> float:
    """At least 0.9, if counting costs no more than a tenth of the rate."""
    with bench.deployment() as app:
        last = read_model.preload(bench, app, runs, _FUNCTIONS)
        engine = open_database(app.settings)

        def rate(*, counts: bool) -> int:
            _forget(app, engine, counts=counts)
            return round(2 * runs / read_model.copy(bench, app, engine, last))

        try:
            read_model.copy(bench, app, engine, last)
            ratios = []
            for _ in range(pairs):
                counting, bare = rate(counts=True), rate(counts=False)
                ratios.append(counting / bare)
                say("activity", counting_per_s=counting, bare_per_s=bare)
        finally:
            engine.dispose()
    return round(median(ratios), 3)


def _forget(app: Deployment, engine: Engine, *, counts: bool) -> None:
    """Let all be copied once more, counted or not."""
    Positions(app.settings, engine).clear()
    if counts:
        with writing(engine) as connection:
            connection.execute(delete(ACTIVITY))
            connection.execute(update(COUNTED).values(next_offset=0, as_of=now_ms()))
