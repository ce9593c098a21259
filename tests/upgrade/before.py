"""The last minute of a release: it is stopped with work of every kind under way.

What it doesn't read lies behind a record whose transaction is open meanwhile, so that is sure and
no timer fires; where it stops, it is killed.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from streams.broker import LocalBroker
from streams.clock import now_ms
from streams.kafka import clients
from streams.kafka.admin import admin_client
from streams.settings import Settings
from tests.support.deadline import eventually
from tests.support.services import environment
from tests.support.trees import program
from tests.upgrade.release import Fed, Release, cancel, drop, event, order, request, update
from tests.upgrade.scenario import (
    BEFORE,
    CANCELLATION,
    CANCELLED_BELOW,
    CLOSED_FROM,
    DELAYED_BY_MS,
    FUNCTIONS,
    IMPORT,
    IMPORTS,
    MAIL,
    ORDER,
    PARTITIONS,
    PAUSE,
)
from topology import codec, tables
from topology.records import CancelRuns

_KILLED: Final = 128 + 9
# Two barriers come first, then two transactions are committed; the next one stays open.
_AT_WORK: Final = "joiner_before_commit:5"
_LIVES: Final = 5
_HUNDRED_YEARS_MS: Final = 100 * 366 * 24 * 3_600_000
_OPEN_MS: Final = 600_000

UNREAD_AT_FIRST: Final = (
    order("early", 1),
    order("done-early", 1),
    drop("first", 1),
    event("made", "pair-late-a", 1, a="pair-late-a", b="pair-late-a"),
    event("made", "pair-late-b", 1, a="pair-late-b", b="pair-late-b"),
    event("mailed", "mail-late", 1),
    update("completed", 1, function_id=ORDER, event_id="done-unread"),
)
UNREAD_AT_LAST: Final = (
    drop("dropped-unread", 1),
    cancel("drop-b", "drop-pair-unread", 1, b="pair-unread"),
    event("mailed", "mail-unread", 1),
    drop("again", 1),
    # Repeats, as a producer makes them that got no answer.
    order("dropped", 1),
    order("untouched", 1),
    order("again", 1),
    drop("dropped", 1),
)


def leave(tree: Path | None, folder: Path) -> None:
    """Let the release of a work tree run on a broker in `folder`, and stop it in the middle."""
    with LocalBroker(folder / "kafka") as broker:
        release = Release(broker.bootstrap_servers, folder, tree, static=True)
        try:
            _set_up(release, tree)
            with _unread(release.settings, UNREAD_AT_FIRST):
                _work(release)
                _ask_much(release)
                _route_twice(release)
                _stop_half_way(release)
        finally:
            release.close()


def _set_up(release: Release, tree: Path | None) -> None:
    """Make topics and functions with the release's own programs, and let it read a little."""
    functions = release.joiner.log.parent / "functions.yaml"
    functions.write_text(FUNCTIONS, encoding="utf-8")
    for arguments in (
        ["topics", "create", "--partitions", str(PARTITIONS)],
        ["functions", "apply", "-f", str(functions)],
    ):
        command = [*program("streams.cli", tree), *arguments]
        subprocess.run(
            command, env=environment(release.settings), check=True, stdout=subprocess.DEVNULL
        )
    _keep_tombstones(release.settings)
    release.feed(
        order("first", 1),
        drop("nobody", 1),
        update("completed", 1, function_id=ORDER, event_id="nobody"),
    )


def _keep_tombstones(settings: Settings) -> None:
    """Let the disk fit its changelog for a hundred years, which it does for half that time."""
    resource = ConfigResource(
        ResourceType.TOPIC,
        settings.topic_prefix + "state",
        incremental_configs=[
            ConfigEntry(
                "delete.retention.ms",
                str(_HUNDRED_YEARS_MS),
                incremental_operation=AlterConfigOpType.SET,
            )
        ],
    )
    admin = admin_client(settings)  # it answers as long as it is kept
    [altered] = admin.incremental_alter_configs([resource]).values()
    altered.result(30)


@contextmanager
def _unread(settings: Settings, records: tuple[Fed, ...]) -> Iterator[None]:
    """Nobody reads these, or what comes behind them, before this ends in order."""
    producer = Producer(
        clients.librdkafka(settings, transactional_id="unread", transaction_timeout_ms=_OPEN_MS)
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for topic, partition, value in records:
        producer.produce(settings.topic_prefix + topic, value, partition=partition)
    assert producer.flush(30) == 0
    yield
    producer.commit_transaction(30)


def _work(release: Release) -> None:
    """Runs of every status, held cancels and updates, a pause; all that was fed is applied."""
    release.feed(
        *(order(name) for name in ("untouched", "running", "sleeping", "completed", "failed")),
        *(order(name) for name in ("dropped", "lingering", "done-unread", "dropped-unread")),
        order("dropped-now"),
        order("delayed", ts=now_ms() + DELAYED_BY_MS),
        *(
            event("made", name, a=name, b=name)
            for name in ("pair-dropped", "pair-unread", "pair-left")
        ),
        *(event("imported", f"import-{n}", account="big", n=n) for n in range(IMPORTS)),
        event("mailed", "mail-before"),
    )
    release.joiner.start()
    release.router.start()
    release.await_runs({"first": "scheduled1+", "mail-before": "scheduled1+"})
    claimed = ("running", "sleeping", "completed", "failed", "lingering")
    release.feed(*(_by_event("running", name) for name in claimed))
    release.await_runs(dict.fromkeys(claimed, "scheduled1+ running1"))
    release.feed(
        _by_event("sleeping", "sleeping", until=now_ms() + DELAYED_BY_MS),
        _by_event("completed", "completed"),
        _by_event("failed", "failed", error={"name": "Broken", "message": "no paper"}),
        *(drop(name) for name in ("dropped", "lingering", "early")),
        cancel("drop-b", "drop-pair-dropped", b="pair-dropped"),
        cancel("drop-a", "drop-pair-late-a", a="pair-late-a"),
        cancel("drop-b", "drop-pair-late-b", b="pair-late-b"),
        _by_event("completed", "done-early"),
        request("pause", PAUSE, function_id=MAIL, running="now"),
    )
    release.await_runs({"mail-before": BEFORE["mail-before"]})
    release.feed(event("mailed", "mail-kept"), *UNREAD_AT_LAST)
    release.await_runs(BEFORE)
    assert release.runs() == BEFORE
    assert release.joiner.end() == 0


def _ask_much(release: Release) -> None:
    """A cancel and a cancellation that meet all imports, routed while no joiner runs."""
    late = (("import-late", CANCELLED_BELOW - 1), ("import-late-closed", CLOSED_FROM))
    release.feed(*(event("imported", id_, 1, account="big", n=n) for id_, n in late))
    function_id, app_id = IMPORT
    before = now_ms() + 1
    body = {"app_id": app_id, "function_id": function_id, "started_before": before}
    condition = {"if": f"event.data.n < {CANCELLED_BELOW}"}
    release.feed(
        cancel("closed", "closed", account="big", n=CLOSED_FROM),
        request("cancel_runs", CANCELLATION, **body, **condition),
    )
    eventually(lambda: now_ms() > before)
    release.feed(event("imported", "import-after", 1, account="big", n=0))
    _await_routed(release)
    assert release.router.end() == 0


def _route_twice(release: Release) -> None:
    """Events whose router dies before it has noted that they are routed: the next one repeats."""
    release.feed(order("again"), order("dropped"), order("untouched"))
    release.router.start(crash_at="router_after_flush")
    assert release.router.wait() == _KILLED


def _stop_half_way(release: Release) -> None:
    """Kill the joiner in slices of both, each time in a transaction."""
    for _ in range(_LIVES):
        release.joiner.start(crash_at=_AT_WORK)
        assert release.joiner.wait() == _KILLED
        if _is_half_done(release):
            return
    raise AssertionError("not both were half done at the same time: try again")


def _is_half_done(release: Release) -> bool:
    rows = {(one.partition(), one.key()): one.value() for one in release.watch.read_topic("state")}
    facts = [(key[:1], value) for (_, key), value in rows.items() if value is not None]
    requests = [
        codec.REQUEST_ROWS.decode(value) for space, value in facts if space == tables.REQUESTS
    ]
    scans = any(
        one.scanning and one.cursor for one in requests if isinstance(one.command, CancelRuns)
    )
    return scans and any(space == tables.FAN_OUTS for space, _ in facts)


def _by_event(status: str, name: str, partition: int = 0, **fields: Any) -> Fed:
    return update(status, partition, function_id=ORDER, event_id=name, **fields)


def _await_routed(release: Release) -> None:
    """Wait until all that can be read is routed."""
    goal = release.watch.ends(release.watch.inputs())
    eventually(lambda: not release.watch.open_routing(goal))
