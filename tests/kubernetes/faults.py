"""What happens to pods, disks and the node."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from tests.kubernetes.cluster import RELEASE
from tests.kubernetes.installation import Installation, image
from tests.kubernetes.torment import Fault

_COMPONENTS: Final = ("router", "joiner", "read-model", "api", "worker")
_UPGRADE_GOAL_S: Final = 15
_KILL_GOALS_S: Final = {"joiner": 20, "router": 15}
_SPARED: Final = ("router", "joiner", "api")  # of which there are two when the node is drained


def faults(installation: Installation, next_tag: str) -> Iterator[Fault]:
    """All of them, in their order; each returns when all pods are ready again."""
    do = _Faults(installation)
    yield Fault("postgresql", partial(do.change, _POSTGRESQL))
    yield Fault("rolling upgrade", partial(do.change, image(next_tag)), _UPGRADE_GOAL_S)
    for component in _COMPONENTS:
        yield Fault(f"delete {component}", partial(do.delete, component))
    for component in _COMPONENTS:
        goal_s = _KILL_GOALS_S.get(component)
        yield Fault(f"kill -9 {component}", partial(do.kill, component), goal_s)
    yield Fault("scale joiner 1 to 3", partial(do.change, {"joiner": {"replicas": 3}}))
    yield Fault("scale joiner 3 to 2", do.scale_down)
    yield Fault("delete a joiner's disk", do.delete_disk)
    yield Fault("drain the node", do.drain)


_POSTGRESQL: Final = {"database": {"existingSecret": "database"}, "api": {"replicas": 2}}


class _Faults:
    def __init__(self, installation: Installation) -> None:
        self._cluster = installation.cluster
        self.change = installation.change

    def delete(self, component: str) -> None:
        """As a user deletes a pod: it gets a signal and its time to end."""
        self._cluster.kubectl("delete", "pod", self._first(component))
        self._cluster.settle()

    def kill(self, component: str) -> None:
        """As the kernel kills a process that takes too much memory."""
        self._cluster.crash(self._cluster.containers(component)[0])
        self._cluster.settle()

    def scale_down(self) -> None:
        """The third joiner goes for good, and the command is given that tells the others so."""
        self.change({"joiner": {"replicas": 2}})
        self._cluster.countermand("router", "members", "remove", f"{RELEASE}-joiner-2")

    def delete_disk(self) -> None:
        """A joiner comes back with an empty disk."""
        pod = self._first("joiner")
        self._cluster.kubectl("delete", "persistentvolumeclaim", f"state-{pod}", "--wait=false")
        self.delete("joiner")

    def drain(self) -> None:
        """All pods leave the node, and no more at a time than their budgets allow.

        It is the only node, so those that take their place wait until it is open again; until then
        the others must be spared.
        """
        before = {component: self._ids(component) for component in _SPARED}

        def is_held_up() -> bool:
            """Whether of each a pod waits for a node, and all the others are spared."""
            now = {component: self._ids(component) for component in _SPARED}
            taken = [component for component in _SPARED if not now[component] & before[component]]
            assert not taken, f"the drain has taken every pod of {taken}"
            return all(now[component] - before[component] for component in _SPARED)

        with ThreadPoolExecutor(1) as pool:
            drain = ("drain", "node", "--delete-emptydir-data", "--timeout", "300s")
            drained = pool.submit(self._cluster.kubectl, *drain)
            self._cluster.until(is_held_up)
            self._cluster.kubectl("uncordon", "node")
            drained.result()
        self._cluster.settle()
        left = [one for one in _SPARED if self._ids(one) & before[one]]
        assert not left, f"the drain has left pods of {left} where they were"

    def _first(self, component: str) -> str:
        return str(min(pod["metadata"]["name"] for pod in self._cluster.pods(component)))

    def _ids(self, component: str) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self._cluster.pods(component)}
