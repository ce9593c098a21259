"""Installs the chart, uses it, and torments it."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Final

from streams.broker.local import LocalBroker
from streams.settings import load
from tests.chaos.scenario import PATIENT
from tests.kubernetes import documented, objects
from tests.kubernetes.cluster import RELEASE, Cluster, CommandError
from tests.kubernetes.faults import faults
from tests.kubernetes.installation import PARTITIONS, URL, Installation, values
from tests.kubernetes.torment import Outcome, Torment
from tests.kubernetes.user import User
from tests.support.postgres import PostgresServer

_COUNTED: Final = "chaos-pair"  # one of the functions of the load

Say = Callable[[str], None]


def run(folder: Path, next_tag: str, seed: int, say: Say) -> dict[str, Outcome]:
    """Everything from an empty cluster, up to the first fault that makes something wrong.

    `folder` is the cluster's, and gets the data of broker and disks.

    Returns:
        What was counted after each fault, by its name.

    Raises:
        AssertionError: something is not as a user expects it.
        CommandError: the cluster refused something.
    """
    started = monotonic()
    cluster = Cluster(folder)

    def tell(text: str) -> None:
        say(f"{monotonic() - started:6.1f} s  {text}")

    with ExitStack() as exits:
        broker = LocalBroker(
            folder / "kafka", objects.KAFKA_PORT, host=objects.ADDRESS, properties=PATIENT
        )
        exits.enter_context(broker)
        settings = load(kafka_bootstrap_servers=broker.bootstrap_servers, partitions=PARTITIONS)
        postgres = PostgresServer(objects.ADDRESS)
        exits.callback(postgres.remove)
        postgres.start()
        _prepare(cluster, folder, postgres)
        tell("Kafka, PostgreSQL and a restricted namespace are there")
        documented.follow(cluster.environment, folder / "documented.log")
        tell("the documented commands end with a cancelled run in the dashboard")
        # The chart's own requests fill two processors, and an upgrade's hook needs room.
        cluster.kubectl("scale", f"statefulset/{RELEASE}-joiner", "--replicas", "1")
        installation = Installation(cluster)
        installation.change(values())
        cluster.helm("test", RELEASE)
        tell("the chart is installed with a worker, and tests itself")
        _use(cluster, tell)
        torment = Torment(settings, URL, seed)
        exits.callback(torment.close)
        outcomes: dict[str, Outcome] = {}
        for fault in faults(installation, next_tag):
            outcomes[fault.name] = outcome = torment.suffer(fault)
            tell(outcome.line(fault))
            if not outcome.findings.ok:
                return outcomes
        _compare(cluster, outcomes[fault.name])
        _use(cluster, tell)
        return outcomes


def _prepare(cluster: Cluster, folder: Path, postgres: PostgresServer) -> None:
    cluster.apply([objects.namespace(), *objects.disks(folder / "disks")])
    cluster.apply(objects.kafka())
    cluster.apply([objects.films(), objects.database(postgres.new_database())])
    try:
        cluster.apply([objects.careless_pod()])
    except CommandError as refusal:
        assert "violates PodSecurity" in str(refusal), refusal  # noqa: PT017
    else:
        raise AssertionError("the namespace takes a pod that is not restricted")


def _use(cluster: Cluster, tell: Say) -> None:
    user = User(cluster)
    try:
        user.cancel_a_run()
        tell("a function was applied, a run cancelled, and the dashboard shows it")
        user.run_a_function()
        tell("the worker has run a function to its end, and stopped another run")
    finally:
        user.close()


def _compare(cluster: Cluster, outcome: Outcome) -> None:
    """The database's copy has what Kafka has."""
    wanted = sum(function == _COUNTED for function, _ in outcome.goal.cancelled)
    user = User(cluster)
    try:
        cluster.until(lambda: user.count_cancelled(_COUNTED) == wanted)
    finally:
        user.close()
