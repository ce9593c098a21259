"""The records that a worker writes about its runs, to `run-updates` and `steps` (design 2.3)."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from streams.sdk.execution import code_of, shortened, text_of
from streams.sdk.worker.history import step_key
from streams.sdk.worker.journal import Outgoing
from streams.settings import Settings
from topology import keys
from topology.records import BeatenRun, Failure, RunUpdate, StepRecord
from topology.topics import RUN_UPDATES, STEPS

_encode: Final = msgspec.json.Encoder().encode


class Updates:
    """Makes the records of one worker."""

    def __init__(self, settings: Settings, worker: str, partitions: int) -> None:
        """`worker` is the name in its claims, `partitions` the number that all topics share."""
        self.worker = worker
        self._partitions = partitions
        self._updates_topic = settings.topic(RUN_UPDATES)
        self._steps_topic = settings.topic(STEPS)

    def home(self, run_id: str) -> int:
        """The partition of a run."""
        return keys.partition_of_run(keys.run_id_bytes(run_id), self._partitions)

    def claim(self, run_id: str, attempt: int) -> Outgoing:
        """Claims the run; once claimed, says that the worker still has it."""
        return self._update(run_id, attempt, RunUpdate(status="running"))

    def took_step(self, run_id: str, attempt: int, step: str) -> Outgoing:
        """The run completed a step."""
        return self._update(run_id, attempt, RunUpdate(status="running", step=step))

    def sleeps(self, run_id: str, attempt: int, until: int) -> Outgoing:
        """The run sleeps until a time (ms since 1970), and no worker has it meanwhile."""
        return self._update(run_id, attempt, RunUpdate(status="sleeping", until=until))

    def completed(self, run_id: str, attempt: int) -> Outgoing:
        """The run's function returned."""
        return self._update(run_id, attempt, RunUpdate(status="completed"))

    def failed(self, run_id: str, attempt: int, error: BaseException) -> Outgoing:
        """The run's function raised."""
        failure = Failure(
            name=code_of(error),
            message=shortened(text_of(error)),
        )
        return self._update(run_id, attempt, RunUpdate(status="failed", error=failure))

    def stopped(self, run_id: str, attempt: int) -> Outgoing:
        """The cancelled run's function has ended."""
        return self._update(run_id, attempt, RunUpdate(status="stopped"))

    def heartbeat(self, runs: Iterable[tuple[str, int]]) -> Outgoing:
        """Renews the leases of these runs, given with their attempts."""
        beaten = tuple(BeatenRun(run_id=run_id, attempt=attempt) for run_id, attempt in runs)
        update = RunUpdate(status="heartbeat", worker=self.worker, runs=beaten)
        return Outgoing(self._updates_topic, self.worker.encode(), _encode(update))

    def step(self, record: StepRecord) -> Outgoing:
        """The outcome of a step."""
        key = step_key(record.run_id, record.step)
        return Outgoing(self._steps_topic, key, _encode(record), self.home(record.run_id))

    def forgotten(self, run_id: str, step: str) -> Outgoing:
        """Removes the outcome of a step."""
        return Outgoing(self._steps_topic, step_key(run_id, step), None, self.home(run_id))

    def _update(self, run_id: str, attempt: int, update: RunUpdate) -> Outgoing:
        update = replace(update, run_id=run_id, attempt=attempt, worker=self.worker)
        return Outgoing(self._updates_topic, run_id.encode(), _encode(update))
