"""The `server.properties` of a single-node broker, which by default only this machine reaches."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streams.errors import BrokerError

HOST = "127.0.0.1"
LISTENER = "BROKER"

# Sized for one machine and one node; a caller's `properties` win over these.
DEFAULTS: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "message.max.bytes": str(2 * 1024 * 1024),
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After a crash a broker is let in again only when its old session has expired.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # The default buffer of 128 MiB would be an eighth of the heap.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "listener.security.protocol.map": f"{LISTENER}:PLAINTEXT,CONTROLLER:PLAINTEXT",
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a node listens: one port for clients, and one for its own controller."""

    broker: int
    controller: int
    host: str = HOST


def broker_properties(ports: Ports, log_dir: Path, overrides: Mapping[str, str]) -> dict[str, str]:
    """All properties of the node: the defaults, the caller's, and the fixed ones."""
    fixed = _fixed(ports, log_dir)
    refused = sorted(fixed.keys() & overrides.keys())
    if refused:
        message = f"The local broker sets {', '.join(refused)} itself; leave it out of `properties`"
        raise BrokerError(message)
    return {**DEFAULTS, **overrides, **fixed}


def render(properties: Mapping[str, str]) -> str:
    """Write properties in Java's format, with every character that means something escaped."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in sorted(properties.items()))


def _fixed(ports: Ports, log_dir: Path) -> dict[str, str]:
    client, controller = f"{ports.host}:{ports.broker}", f"{ports.host}:{ports.controller}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": LISTENER,
        "listeners": f"{LISTENER}://{client},CONTROLLER://{controller}",
        "advertised.listeners": f"{LISTENER}://{client}",
        "log.dirs": str(log_dir),
    }


def _escape(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n")
    # Leading blanks would be skipped, and Java reads the file as Latin-1.
    if escaped.startswith(" "):
        escaped = f"\\{escaped}"
    return "".join(c if c.isascii() else _unicode_escape(c) for c in escaped)


def _unicode_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
