from pathlib import Path

import pytest

from streams.broker import config
from streams.broker.config import Ports
from streams.broker.ports import choose_ports, free_port
from streams.errors import BrokerError

PORTS = Ports(broker=19092, controller=19093)


def test_only_this_machine_can_reach_the_broker() -> None:
    """Every listener is bound to the loopback address."""
    properties = config.broker_properties(PORTS, Path("/data"), {})
    assert properties["listeners"] == "BROKER://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093"
    assert properties["advertised.listeners"] == "BROKER://127.0.0.1:19092"


def test_an_address_of_the_machine_can_be_chosen_instead() -> None:
    """Clients in other network namespaces, such as pods, find the node there and nowhere else."""
    ports = choose_ports(19092, "127.0.0.2")
    properties = config.broker_properties(ports, Path("/data"), {})
    listeners = f"BROKER://127.0.0.2:19092,CONTROLLER://127.0.0.2:{ports.controller}"
    assert properties["listeners"] == listeners
    assert properties["advertised.listeners"] == "BROKER://127.0.0.2:19092"


def test_the_promised_settings_hold_by_default() -> None:
    """Topics are made on purpose, messages may be large, groups start at once."""
    properties = config.broker_properties(PORTS, Path("/data"), {})
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["message.max.bytes"] == "2097152"
    assert properties["group.initial.rebalance.delay.ms"] == "0"
    assert properties["log.dirs"] == "/data"


def test_the_callers_properties_win() -> None:
    """A test can have any setting that does not break the node."""
    properties = config.broker_properties(PORTS, Path("/data"), {"num.partitions": "7"})
    assert properties["num.partitions"] == "7"


def test_what_the_node_needs_cannot_be_overridden() -> None:
    """A property that would move or open the node is refused by name."""
    with pytest.raises(BrokerError, match=r"listeners, log\.dirs"):
        config.broker_properties(PORTS, Path("/data"), {"log.dirs": "/x", "listeners": "y"})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("C:\\data", "C:\\\\data"),
        (" indented", "\\ indented"),
        ("two\nlines", "two\\nlines"),
        ("gr\u00fcn \U0001f600", "gr\\u00fcn \\ud83d\\ude00"),
    ],
)
def test_values_survive_javas_format(value: str, written: str) -> None:
    """Whatever a folder is called, Java reads the same name."""
    assert config.render({"key": value}) == f"key={written}\n"


def test_free_ports_lie_below_those_of_outgoing_connections() -> None:
    """No client's own connection can take the port while the broker restarts."""
    assert all(15_000 <= free_port() < 30_000 for _ in range(20))


def test_the_port_asked_for_is_kept() -> None:
    """The controller gets another port than the one asked for."""
    ports = choose_ports(19092)
    assert ports.broker == 19092
    assert ports.controller != 19092
