"""What holds for every pod of the chart, whatever the values: security, limits, probes, budgets."""

from typing import Any

import pytest

from tests.deploy import helm
from tests.deploy.helm import CASES, Object

pytestmark = [pytest.mark.network, pytest.mark.timeout(1800)]
# Each but the hook, the test, and what has one pod that is made anew.
SERVING = {"router", "joiner", "api", "read-model", "worker", "inngest"}
IMAGE_UID = 10001


def component(one: Object) -> str:
    """What an object, or a pod, is of."""
    return str(one["metadata"]["labels"]["app.kubernetes.io/component"])


@pytest.fixture(params=CASES)
def found(request: pytest.FixtureRequest) -> list[Object]:
    """The objects of each case."""
    return helm.case(request.param)


def test_pods_are_restricted(found: list[Object]) -> None:
    """As the pod security standard `restricted` wants it, with a read-only root besides."""
    for name, pod in helm.pods(found):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"].get("runAsUser", IMAGE_UID) == IMAGE_UID, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        allowed = {"emptyDir", "projected", "secret", "configMap", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"]), name
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec), name
    for name, container in helm.containers(found):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert all("hostPort" not in port for port in container.get("ports", [])), name


def test_pods_ask_kubernetes_for_nothing(found: list[Object]) -> None:
    """No token of an account, and no variables of Services, which would be read as settings."""
    for name, pod in helm.pods(found):
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert pod["spec"]["enableServiceLinks"] is False, name
    for account in helm.of_kind(found, "ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False
    assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & {
        one["kind"] for one in found
    }


def test_containers_have_limits_and_a_fixed_image(found: list[Object]) -> None:
    """Memory is bounded and CPU is asked for; an image is one that stays the same."""
    for name, container in helm.containers(found):
        assert container["resources"]["limits"]["memory"], name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        tag = container["image"].rpartition(":")[2]
        assert tag not in {"", "latest"}, name
        assert "/" not in tag, name


def test_what_can_be_written_is_a_volume(found: list[Object]) -> None:
    """Temporary files and the state; what is mounted is there."""
    for name, pod in helm.pods(found):
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        claimed = {"state"} if name.startswith("StatefulSet") else set()
        for container in pod["spec"]["containers"]:
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert mounts["tmp"] == "/tmp", name  # noqa: S108  # a folder of the container's own
            assert mounts["state"] == "/var/lib/countermand", name
            assert set(mounts) <= volumes | claimed, name


def test_processes_have_probes(found: list[Object]) -> None:
    """A joiner has started once it is restored, and may take hours; only stalls end a process."""
    for name, pod in helm.pods(found):
        if component(pod) not in SERVING:
            continue
        for container in pod["spec"]["containers"]:
            probes = {
                kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")
            }
            paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
            started = "ready" if container["name"] == "joiner" else "live"
            assert paths == {
                "startup": f"/healthz/{started}",
                "readiness": "/healthz/ready",
                "liveness": "/healthz/live",
            }, name
            ports = {port["name"] for port in container["ports"]}
            served = {"http"} if container["name"] == "inngest" else set()
            assert {probe["httpGet"]["port"] for probe in probes.values()} == ports - served, name
            startup = probes["startup"]
            seconds = startup["periodSeconds"] * startup["failureThreshold"]
            assert seconds >= (3600 if container["name"] == "joiner" else 120), name


def test_who_is_called_answers_until_its_service_knows_that_it_ends(found: list[Object]) -> None:
    """Others come for a moment after a pod was told to end."""
    for name, container in helm.containers(found):
        if name.startswith("Pod"):
            continue
        assert ("lifecycle" in container) == (container["name"] in {"api", "inngest"}), name


def test_each_process_has_a_budget_for_drains(found: list[Object]) -> None:
    """A drain takes its pods one by one, and no pod that isn't ready stops it."""
    budgets = [one["spec"] for one in helm.of_kind(found, "PodDisruptionBudget").values()]
    for one in found:
        if "template" not in one.get("spec", {}) or component(one) not in SERVING:
            continue
        selector = one["spec"]["selector"]
        mine = [budget for budget in budgets if budget["selector"] == selector]
        if one["metadata"]["name"] == "jobs-api":  # the case that asks for none
            assert mine == []
            continue
        assert [budget["unhealthyPodEvictionPolicy"] for budget in mine] == ["AlwaysAllow"], one
        assert mine[0]["maxUnavailable"] in {1, "25%"}


def test_pods_are_spread(found: list[Object]) -> None:
    """Over nodes and zones, as far as there are some."""
    for name, pod in helm.pods(found):
        if component(pod) not in SERVING:
            continue
        spread = pod["spec"]["topologySpreadConstraints"]
        assert [one["topologyKey"] for one in spread] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ], name
        for one in spread:
            chosen = one["labelSelector"]["matchLabels"].items()
            assert chosen <= pod["metadata"]["labels"].items(), name


def test_a_joiner_keeps_its_name_and_its_disk(found: list[Object]) -> None:
    """The pod's name is its static name; all start at once; nobody else has a static name."""
    for name, pod in helm.pods(found):
        for container in pod["spec"]["containers"]:
            static = [
                one["valueFrom"]
                for one in container.get("env", [])
                if one["name"] == "COUNTERMAND_GROUP_INSTANCE_ID"
            ]
            expected = [{"fieldRef": {"fieldPath": "metadata.name"}}]
            assert static == (expected if component(pod) == "joiner" else []), name
    for joiner in helm.of_kind(found, "StatefulSet").values():
        spec = joiner["spec"]
        assert spec["podManagementPolicy"] == "Parallel"
        assert spec["serviceName"] in helm.of_kind(found, "Service")
        if "volumeClaimTemplates" in spec:
            assert spec["persistentVolumeClaimRetentionPolicy"].keys() == {
                "whenScaled",
                "whenDeleted",
            }
        else:
            state = {one["name"]: one for one in spec["template"]["spec"]["volumes"]}["state"]
            assert state == {"name": "state", "emptyDir": {}}


def test_no_more_work_than_there_are_partitions(found: list[Object]) -> None:
    """Neither by replicas nor by scaling; what is scaled has no replicas of its own."""
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]
        for kind in ("ScaledObject", "HorizontalPodAutoscaler")
        for one in helm.of_kind(found, kind).values()
    }
    partitions = 24 if helm.of_kind(found, "Deployment").get("jobs-router") else 16
    for one in found:
        if one["kind"] not in {"Deployment", "StatefulSet"}:
            continue
        name = one["metadata"]["name"]
        assert ("replicas" in one["spec"]) == (name not in scaled), name
        if component(one) in {"joiner", "worker", "inngest"}:
            most = scaled[name]["maxReplicaCount"] if name in scaled else one["spec"]["replicas"]
            assert most <= partitions, name


def test_joiners_are_scaled_down_only_if_asked() -> None:
    """Each change of their number moves rows."""

    def scaling(case: str) -> Any:
        spec = helm.of_kind(helm.case(case), "ScaledObject")["countermand-joiner"]["spec"]
        return spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]

    assert scaling("scaled") == {"selectPolicy": "Disabled"}
    assert scaling("scaled-both-ways")["stabilizationWindowSeconds"] == 3600


def test_with_sqlite_api_and_read_model_share_a_pod_and_a_file() -> None:
    """Never two pods at once; the volume stays when the release goes."""
    found = helm.case("minimal")
    assert set(helm.of_kind(found, "Deployment")) == {"countermand-router", "countermand-api"}
    api = helm.of_kind(found, "Deployment")["countermand-api"]["spec"]
    assert (api["replicas"], api["strategy"]) == (1, {"type": "Recreate"})
    assert [one["name"] for one in api["template"]["spec"]["containers"]] == ["api", "read-model"]
    claim = helm.of_kind(found, "PersistentVolumeClaim")["countermand-api"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_hook_mends_only_if_asked() -> None:
    """It comes before the processes, makes topics, and changes none unasked."""

    def hook(case: str, name: str) -> Object:
        return helm.of_kind(helm.case(case), "Job")[name]

    job = hook("minimal", "countermand-topics")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"

    def arguments(one: Object) -> Any:
        return one["spec"]["template"]["spec"]["containers"][0]["args"]

    assert arguments(job) == ["topics", "create"]
    assert arguments(hook("everything", "jobs-topics")) == ["topics", "create", "--mend"]


def test_what_holds_data_stays_when_the_release_goes() -> None:
    """Strimzi deletes a topic with its object."""
    for topic in helm.of_kind(helm.case("strimzi-scram"), "KafkaTopic").values():
        assert topic["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
