"""The cluster as `kubectl`, `helm` and its node's runtime have it."""

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from tests.support.deadline import eventually

NAMESPACE: Final = "countermand"
RELEASE: Final = "countermand"
_COMPONENT: Final = "app.kubernetes.io/component"
_WORKLOADS: Final = "deployments,statefulsets"
_SETTLED_S: Final = 300
_POLL_S: Final = 0.5
_OWNERS: Final = ("ReplicaSet", "StatefulSet")
# What a workload says of its pods, once it is as it should be.
_COUNTS: Final = ("replicas", "readyReplicas", "updatedReplicas")


class Container(NamedTuple):
    """A container of a pod; `id` is the runtime's."""

    pod: str
    name: str
    id: str
    restarts: int


class CommandError(Exception):
    """A command ended with an error; the message has what it printed."""


class Cluster:
    """One namespace of a cluster that runs (`node.sh`)."""

    def __init__(self, run: Path) -> None:
        """`run` is the cluster's folder."""
        self._runtime = ["ctr", "--address", str(run / "containerd.sock"), "--namespace", "k8s.io"]
        # What a user's shell would have.
        self.environment: Mapping[str, str] = os.environ | {
            "PATH": f"{run / 'bin'}:{os.environ['PATH']}",
            "KUBECONFIG": str(run / "admin.kubeconfig"),
        }

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """Run kubectl; `text` goes to its stdin. What it printed."""
        return self._run(["kubectl", "--namespace", NAMESPACE, *arguments], text)

    def helm(self, *arguments: str, text: str = "") -> str:
        """Run Helm; `text` goes to its stdin. What it printed."""
        return self._run(["helm", "--namespace", NAMESPACE, *arguments], text)

    def countermand(self, component: str, *arguments: str, text: str = "") -> str:
        """Run Countermand's command line in a pod of a Deployment; `text` goes to its stdin."""
        target = ("--stdin", f"deployment/{RELEASE}-{component}", "--container", component)
        return self.kubectl("exec", *target, "--", "countermand", *arguments, text=text)

    def apply(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Make objects, or change them."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--filename", "-", text=orjson.dumps(listed).decode())

    def get(self, kinds: str, *arguments: str) -> list[Any]:
        """The objects of some kinds."""
        found = orjson.loads(self.kubectl("get", kinds, "--output", "json", *arguments))
        return list(found["items"])

    def pods(self, component: str) -> list[Any]:
        """The pods of a component that aren't about to end."""
        pods = self.get("pods", "--selector", f"{_COMPONENT}={component}")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def containers(self, component: str) -> list[Container]:
        """Those of a component that run, wherever they are: it may share a pod with another."""
        return [
            Container(
                pod["metadata"]["name"],
                one["name"],
                one["containerID"].rpartition("/")[2],
                one["restartCount"],
            )
            for pod in self.get("pods")
            for one in pod["status"].get("containerStatuses", ())
            if one["name"] == component and "running" in one["state"]
        ]

    def crash(self, container: Container) -> None:
        """Kill it with SIGKILL, and wait until it was started again, for the first or nth time."""
        self._run([*self._runtime, "tasks", "kill", "--signal", "SIGKILL", container.id])
        self.until(
            lambda: any(
                one.pod == container.pod and one.restarts > container.restarts
                for one in self.containers(container.name)
            )
        )

    def settle(self) -> None:
        """Wait until every workload has all of its pods, of its newest template, and no others."""
        self.until(self._is_settled)

    def until(self, look: Callable[[], bool], within_s: float = _SETTLED_S) -> None:
        """Ask now and then: each call of kubectl takes a part of a second of a processor."""
        eventually(look, within_s, _POLL_S)

    def _is_settled(self) -> bool:
        found = self.get(f"{_WORKLOADS},pods")
        workloads = [one for one in found if one["kind"] != "Pod"]
        pods = [one for one in found if one["kind"] == "Pod" and _owner(one) in _OWNERS]
        wanted = sum(one["spec"]["replicas"] for one in workloads)
        return (
            all(map(_is_as_wanted, workloads)) and len(pods) == wanted and all(map(_is_ready, pods))
        )

    def _run(self, command: list[str], text: str = "") -> str:
        done = subprocess.run(
            command, check=False, capture_output=True, input=text, text=True, env=self.environment
        )
        if done.returncode:
            raise CommandError(f"{' '.join(command)}: {done.stderr.strip()} {done.stdout.strip()}")
        return done.stdout


def _is_as_wanted(workload: Mapping[str, Any]) -> bool:
    status, replicas = workload["status"], workload["spec"]["replicas"]
    return status.get("observedGeneration") == workload["metadata"]["generation"] and all(
        status.get(name, 0) == replicas for name in _COUNTS
    )


def _is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod takes part, and isn't about to end: one that ends may be ready still."""
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _owner(pod: Mapping[str, Any]) -> str:
    return "".join(one["kind"] for one in pod["metadata"].get("ownerReferences", ()))
