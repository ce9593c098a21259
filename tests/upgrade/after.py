"""The life of the release that comes after, and whether all is as it must be in the end."""

from collections import Counter
from pathlib import Path
from typing import Final

from streams.broker import LocalBroker
from tests.support.deadline import eventually
from tests.upgrade.release import Release, drop, event, order, update
from tests.upgrade.scenario import AFTER, CAUSES, IMPORTED, INSTEAD, PROGRESS

_NEW: Final = ("new", "mail-new")
# What the broker holds may be years old: it removes nothing of it, and forgets no group's offsets.
_OF_ANY_AGE: Final = {
    "log.cleaner.enable": "false",
    "log.initial.task.delay.ms": str(24 * 3_600_000),
    "offsets.retention.minutes": str(2**31 - 1),
    # On a busy machine a node must not take itself for dead.
    "broker.session.timeout.ms": "18000",
}


def go_on(tree: Path | None, folder: Path) -> None:
    """Let the release of a work tree go on in `folder`, where another one has left its work.

    The joiner comes before the router, as in the order of an upgrade.
    """
    with LocalBroker(folder / "kafka", properties=_OF_ANY_AGE) as broker:
        # At other ports than those before: 16a6093 took no place of a member that had another one.
        release = Release(broker.bootstrap_servers, folder, tree, static=tree is None)
        try:
            stopped = update("stopped", run_id=release.run_id("lingering"), attempt=1)
            release.feed(drop("dropped-now"), order("now"), drop("now"), stopped)
            release.joiner.start()
            release.await_runs({id_: IMPORTED[id_] for id_ in CAUSES if id_ in IMPORTED})
            release.router.start()
            old = {id_: story for id_, story in AFTER.items() if id_ not in _NEW}
            release.await_runs(old, INSTEAD)
            release.feed(order("new"), event("mailed", "mail-new"))
            release.await_runs({"new": "scheduled1+"})
            release.feed(drop("new"))
            release.await_runs(AFTER, INSTEAD)
            check(release)
            assert [release.router.end(), release.joiner.end()] == [0, 0]
        finally:
            release.close()


def check(release: Release) -> None:
    """Nothing is lost, doubled or forgotten."""
    # The markers of outputs may come after that of `runs`.
    eventually(lambda: not release.watch.open_transactions("cancelled", "request-progress"))
    runs = release.runs()
    expired = {id_: story for id_, story in INSTEAD.items() if runs.get(id_) == story}
    assert runs == AFTER | expired
    assert release.cancelled() == Counter(
        {(id_, cause): 1 for id_, cause in CAUSES.items() if id_ not in expired}
    )
    for request, counts in PROGRESS.items():
        eventually(lambda request=request: release.progress(request)[0] == {"done"})  # type: ignore[misc]
        _, found = release.progress(request)
        assert {name: found[name] for name in counts} == counts
    assert not list(release.watch.read_topic("dead-letters"))
