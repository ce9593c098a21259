"""`dashboard`: what pages cost those who look at them, and what else waits for them."""

from tests.bench import activity
from tests.bench.bench import Bench


def measure(bench: Bench) -> dict[str, float]:
    """All figures."""
    return {"read_model_ratio": activity.read_model_ratio(bench)}
