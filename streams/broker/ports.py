"""Free ports of an address of this machine, by default the loopback interface's."""

import random
import socket

from streams.broker.config import HOST, Ports
from streams.errors import BrokerError

# Below every system's range for outgoing connections: a port from that range can be
# taken, while the broker restarts, by a client's own attempt to connect to it.
_LOWEST, _HIGHEST = 15_000, 30_000
_TRIES = 200
# What is chosen is listened on only later, and free again while its process restarts.
_given: set[int] = set()


def choose_ports(broker_port: int | None, host: str = HOST) -> Ports:
    """`port`, or a free port if None, for clients; another free port for the controller."""
    broker = broker_port if broker_port is not None else free_port(host=host)
    return Ports(broker, free_port(taken=broker, host=host), host)


def free_port(taken: int | None = None, host: str = HOST) -> int:
    """A port that nothing listens on now, and that this process wasn't given before.

    Another program may take it any time.
    """
    picker = random.SystemRandom()
    for _ in range(_TRIES):
        port = picker.randrange(_LOWEST, _HIGHEST)
        if port != taken and port not in _given and _can_bind(host, port):
            _given.add(port)
            return port
    message = f"No free port between {_LOWEST} and {_HIGHEST} on {host}; choose one with `port`"
    raise BrokerError(message)


def _can_bind(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
