"""What stands in the cluster before the chart does: a namespace, Kafka's name, disks, an app."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.kubernetes.cluster import NAMESPACE

ADDRESS: Final = "172.30.0.1"  # of the node, as in node.sh
KAFKA_PORT: Final = 9092
DISKS: Final = 8
APP: Final = Path(__file__).with_name("films.py")

Object = Mapping[str, Any]


def namespace() -> Object:
    """One in which Kubernetes refuses pods that aren't restricted."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return _object("v1", "Namespace", NAMESPACE, labels=labels)


def careless_pod() -> Object:
    """One that says nothing of its security."""
    spec = {"containers": [{"name": "careless", "image": "localhost/pause:test"}]}
    return _object("v1", "Pod", "careless", spec=spec)


def kafka() -> Iterator[Object]:
    """The name of the broker, which runs beside the cluster at the node's address."""
    port = {"name": "kafka", "port": KAFKA_PORT}
    yield _object("v1", "Service", "kafka", spec={"clusterIP": "None", "ports": [port]})
    yield _object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "kafka",
        labels={"kubernetes.io/service-name": "kafka"},
        addressType="IPv4",
        ports=[port],
        endpoints=[{"addresses": [ADDRESS]}],
    )


def disks(folder: Path) -> Iterator[Object]:
    """The default storage class, and volumes of it: folders of this machine, each for one claim.

    Unlike those of `hostPath`, `local` volumes are given to the group of the pods.
    """
    yield _object(
        "storage.k8s.io/v1",
        "StorageClass",
        "disks",
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
        provisioner="kubernetes.io/no-provisioner",
        volumeBindingMode="WaitForFirstConsumer",
    )
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}
    for number in range(DISKS):
        disk = folder / str(number)
        disk.mkdir(parents=True)
        spec = {
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "disks",
            "local": {"path": str(disk)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        }
        yield _object("v1", "PersistentVolume", f"disk-{number}", spec=spec)


def films() -> Object:
    """The app of the chart's worker."""
    return _object("v1", "ConfigMap", "films", data={APP.name: APP.read_text()})


def database(url: str) -> Object:
    """The secret with a database's URL."""
    return _object("v1", "Secret", "database", stringData={"uri": url})


def _object(
    version: str,
    kind: str,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **fields: Any,
) -> Object:
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}
