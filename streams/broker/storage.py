"""Format the broker's storage, once per data folder.

Kafka's own tool does it, but takes a second Java start. Apart from two random ids its
result depends only on the Kafka version, so it is run once per cache: later folders get
a copy with ids of their own.
"""

import base64
import secrets
import shutil
from pathlib import Path

from streams.broker import config, jvm
from streams.broker.cache import BrokerCache, adopt
from streams.broker.java import Java

META = "meta.properties"
BOOTSTRAP = "bootstrap.checkpoint"
_FORMAT_TIMEOUT_S = 120
# Unused by the tool, but it checks that the file is a whole configuration.
_ANY_PORTS = config.Ports(broker=9092, controller=9093)


def format_storage(log_dir: Path, cache: BrokerCache, java: Java) -> None:
    """Make `log_dir` the storage of a new cluster, unless it is one already."""
    if (log_dir / META).exists():
        return
    template = ensure_template(cache, java)
    log_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template / BOOTSTRAP, log_dir / BOOTSTRAP)
    # Written last and in one step: it is what marks the folder as formatted.
    fresh = log_dir / f".{META}"
    fresh.write_text(_with_new_ids((template / META).read_text(encoding="utf-8")), encoding="utf-8")
    adopt(fresh, log_dir / META)


def cluster_id(log_dir: Path) -> str:
    """The id of the cluster that this formatted storage belongs to."""
    return _pairs((log_dir / META).read_text(encoding="utf-8"))["cluster.id"]


def new_id() -> str:
    """A random id in Kafka's form: 16 bytes, URL-safe Base64 without padding."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        # Kafka avoids a leading dash too, which its command line tools take for an option.
        if not text.startswith("-"):
            return text


def ensure_template(cache: BrokerCache, java: Java) -> Path:
    """The folder with what Kafka's tool wrote, made now if it is not there."""
    template = cache.folder / "storage"
    if (template / META).exists() and (template / BOOTSTRAP).exists():
        return template
    with cache.scratch() as scratch:
        made = scratch / "storage"
        _run_format_tool(made, scratch, cache, java)
        adopt(made / BOOTSTRAP, template / BOOTSTRAP)
        adopt(made / META, template / META)
    return template


def _run_format_tool(log_dir: Path, scratch: Path, cache: BrokerCache, java: Java) -> None:
    properties = scratch / "server.properties"
    settings = config.broker_properties(_ANY_PORTS, log_dir, {})
    properties.write_text(config.render(settings), encoding="ascii")
    options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"]
    arguments = ["format", "-t", new_id(), "-c", str(properties)]
    command = jvm.command(java, options, "kafka.tools.StorageTool", *arguments)
    jvm.run(command, cache, _FORMAT_TIMEOUT_S, "Kafka's storage tool fails")


def _with_new_ids(meta: str) -> str:
    pairs = _pairs(meta) | {"cluster.id": new_id(), "directory.id": new_id()}
    return "".join(f"{key}={value}\n" for key, value in pairs.items())


def _pairs(meta: str) -> dict[str, str]:
    lines = [line for line in meta.splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
