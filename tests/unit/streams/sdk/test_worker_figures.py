"""What the workers of a process count together."""

from streams.metrics import Metrics
from streams.sdk.worker.figures import Figures


def test_workers_of_a_process_are_counted_together() -> None:
    """Runs add up; of cancels the longest counts. What a worker says takes the place of before."""
    metrics = Metrics()
    figures = Figures(metrics)

    def shown() -> list[float]:
        gauges = (
            metrics.worker_most_runs,
            metrics.worker_runs,
            metrics.worker_overrunning,
            metrics.worker_cancelling,
        )
        return [gauge._value.get() for gauge in gauges]

    figures.may_hold("one", 100)
    figures.may_hold("two", 20)
    figures.holds("one", 7, 1, 3.0)
    figures.holds("two", 5, 2, 9.0)
    assert shown() == [120, 12, 3, 9.0]
    figures.holds("two", 0, 0, 0.0)
    assert shown() == [120, 7, 1, 3.0]
