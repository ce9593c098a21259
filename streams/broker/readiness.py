"""Tell when a broker that was just started serves clients."""

import logging
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.broker.process import GuardedProcess
from streams.errors import BrokerError

_POLL_S = 0.02
_CONNECT_TIMEOUT_S = 1.0
_LOG_LINES = 20
# The client reports refused connections on standard error, but here they are expected.
_silent = logging.getLogger(f"{__name__}.client")
_silent.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Contact:
    """How a client reaches the broker, and which cluster has to answer."""

    bootstrap_servers: str
    cluster_id: str
    client: Mapping[str, str] = field(default_factory=dict)


def wait_until_ready(
    process: GuardedProcess, contact: Contact, log: Path, timeout_s: float
) -> None:
    """Return once the broker answers a client.

    Raises:
        BrokerError: it ends, or takes too long; the message has the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    ready = False
    while not ready:
        code = process.wait(_POLL_S)
        if code is not None:
            raise BrokerError(f"The local broker ended with code {code}.\n{last_lines(log)}")
        if time.monotonic() > deadline:
            message = f"The local broker does not answer after {timeout_s:.0f} s."
            raise BrokerError(f"{message}\n{last_lines(log)}")
        # A client would back off between attempts, so it is asked only once a port is open.
        ready = _is_open(contact.bootstrap_servers) and _answers(contact)


def last_lines(log: Path) -> str:
    """The end of the broker's log, with the file's name, for an error message."""
    if not log.exists():
        return f"There is no log at {log}."
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return f"The last lines of {log}:\n" + "\n".join(lines)


def _is_open(bootstrap_servers: str) -> bool:
    host, port = bootstrap_servers.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _answers(contact: Contact) -> bool:
    settings: dict[str, str | int | float | bool] = {
        **contact.client,
        "bootstrap.servers": contact.bootstrap_servers,
    }
    try:
        admin = AdminClient(settings, logger=_silent)
        metadata = admin.list_topics(timeout=_CONNECT_TIMEOUT_S)
    except KafkaException:
        return False
    # If the port is in use, another broker answers until this one gives up.
    return bool(metadata.brokers) and metadata.cluster_id == contact.cluster_id
