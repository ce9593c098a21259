"""The chart as it is installed: its values, and the changes of them."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from tests.kubernetes.cluster import RELEASE, Cluster
from tests.kubernetes.objects import KAFKA_PORT

CHART: Final = Path(__file__).parents[2] / "deploy/helm/countermand"
PARTITIONS: Final = 12  # as many as the chart makes unasked
URL: Final = f"http://{RELEASE}-api:8420"
_VERSION: Final = str(yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"])
# Of two processors: room for three joiners, and for those that come before others go. Joiners come
# first, as an upgrade starts all processes at once, and partitions wait for joiners alone.
_CPU: Final = {"router": "50m", "joiner": "500m", "api": "50m", "readModel": "50m"}


def values() -> dict[str, Any]:
    """Those to begin with: one joiner, API and read model on SQLite, a worker."""
    own: dict[str, dict[str, Any]] = {
        component: {"resources": {"requests": {"cpu": cpu, "memory": "128Mi"}}}
        for component, cpu in _CPU.items()
    }
    own["joiner"] |= {"replicas": 1}
    own["api"] |= {"publicUrl": URL}
    films = {
        "app": "films:app",
        "image": {"repository": "countermand", "tag": _VERSION},
        "replicas": 1,
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
        "extraVolumes": [{"name": "app", "configMap": {"name": "films"}}],
        "extraVolumeMounts": [{"name": "app", "mountPath": "/app"}],
        "extraEnv": [{"name": "PYTHONPATH", "value": "/app"}],
    }
    kafka = {"bootstrapServers": f"kafka:{KAFKA_PORT}"}
    return {"kafka": kafka, "workers": {"films": films}, **own}


def image(tag: str) -> dict[str, Any]:
    """The values that choose an image, for the worker too."""
    return {"image": {"tag": tag}, "workers": {"films": {"image": {"tag": tag}}}}


class Installation:
    """One release."""

    def __init__(self, cluster: Cluster) -> None:
        """Take one that is there."""
        self.cluster = cluster
        self._values: dict[str, Any] = {}

    def change(self, changes: Mapping[str, Any]) -> None:
        """Upgrade to further values, and wait until all of it is ready."""
        self._values = _merged(self._values, changes)
        values_ = orjson.dumps(self._values).decode()
        upgrade = ("upgrade", RELEASE, str(CHART), "--values", "-", "--timeout", "5m")
        self.cluster.helm(*upgrade, text=values_)
        self.cluster.settle()


def _merged(values_: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """As Helm merges value files: mappings one by one, all else as a whole."""
    merged = copy.deepcopy(dict(values_))
    for name, change in changes.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(change, dict):
            merged[name] = _merged(old, change)
        else:
            merged[name] = change
    return merged
