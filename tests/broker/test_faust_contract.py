"""What the joiner relies on in Faust and aiokafka, named: another version is another engine."""

import ast
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faust
import mode
import pytest
from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]
from aiokafka.consumer.fetcher import Fetcher  # type: ignore[import-untyped]
from faust.assignor.partition_assignor import PartitionAssignor
from faust.events import Event
from faust.tables import recovery
from faust.transport import consumer
from faust.transport.drivers import aiokafka as driver
from faust.types.settings import Settings as FaustSettings
from faust.web import View

import streams.joiner.faust_app
from streams.joiner.flow import FaustConsumer

ROOT = Path(__file__).parents[2]
PINNED = ("faust-streaming", "mode-streaming", "aiokafka")


def parameters(function: Any) -> list[str]:
    """The names of a function's parameters, without `self`."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("name", PINNED)
def test_pinned_version_is_installed(name: str) -> None:
    """The exact version that the traps were reproduced on, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [one for one in project["dependencies"] if one.partition("=")[0].startswith(name)]
    assert [one.partition("==")[2] for one in wanted] == [version(name)]


@pytest.mark.parametrize("name", [name for name in vars(FaustConsumer) if not name.startswith("_")])
def test_consumer_has_what_the_flow_uses(name: str) -> None:
    """Positions, pauses and the flow: same names, same parameters, awaited where we await."""
    ours, theirs = getattr(FaustConsumer, name), getattr(driver.Consumer, name)
    assert parameters(ours) == parameters(theirs)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
    kinds = [
        [one.kind for one in inspect.signature(each).parameters.values()] for each in (ours, theirs)
    ]
    assert kinds[0] == kinds[1]


def test_the_consumers_thread_can_be_another() -> None:
    """A close of aiokafka awaits fetches that it cancels: they wait while brokers are away."""
    assert inspect.iscoroutinefunction(driver.AIOKafkaConsumerThread.on_thread_stop)
    made = inspect.getsource(driver.Consumer._new_consumer_thread)
    assert "AIOKafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)" in made
    assert "x.cancel()\n            await x\n" in inspect.getsource(Fetcher.close)


def test_a_client_that_found_no_broker_can_be_started_again() -> None:
    """Faust makes it and then starts it; what a failed bootstrap opened, it has closed."""
    assert driver.Transport.Producer is driver.Producer
    made = (
        (driver.Producer, "_new_producer()", "producer.start()"),
        (driver.AIOKafkaConsumerThread, "_create_consumer(loop=", "self._consumer.start()"),
    )
    for service, makes, starts in made:
        assert inspect.iscoroutinefunction(service.on_start)
        lines = inspect.getsource(service.on_start).splitlines()
        assert any(makes in line for line in lines)
        assert lines[-1].strip() == f"await {starts}"
    bootstrap = inspect.getsource(AIOKafkaClient.bootstrap)
    gives_up = bootstrap.index("raise KafkaConnectionError")
    assert gives_up < bootstrap.index("create_task(self._md_synchronizer())")
    assert "bootstrap_conn.close()\n                continue" in bootstrap


def test_the_assignor_can_be_another() -> None:
    """An assignment has its member's address, which is compared with today's in one place."""
    assert isinstance(vars(PartitionAssignor)["_url"], property)
    taken = inspect.getsource(PartitionAssignor.on_assignment)
    assert "ClientMetadata.loads(self._decompress(assignment.user_data))" in taken
    assert "assert metadata.url == str(self._url)" in taken


def test_perform_seek_can_be_overridden() -> None:
    """Trap 1: this is where Faust goes back to committed offsets, after every rebalance."""
    seek = driver.Consumer.perform_seek
    assert inspect.iscoroutinefunction(seek)
    assert parameters(seek) == []
    assert driver.Transport.Consumer is driver.Consumer
    assert "consumer.perform_seek()" in inspect.getsource(recovery)


def test_committed_offsets_are_sought_nowhere_else() -> None:
    """Only `perform_seek` asks for committed offsets to read on from."""
    asking = [
        node.name
        for node in ast.walk(ast.parse(inspect.getsource(consumer)))
        if isinstance(node, ast.AsyncFunctionDef) and "seek_to_committed()" in ast.unparse(node)
    ]
    assert set(asking) == {"perform_seek", "seek_to_committed"}


def test_app_takes_our_settings() -> None:
    """Each setting that we give is one that Faust knows: an unknown one would be ignored."""
    source = ast.parse(inspect.getsource(streams.joiner.faust_app.create_app))
    [call] = [
        node
        for node in ast.walk(source)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "FaustApp"
    ]
    given = {keyword.arg for keyword in call.keywords if keyword.arg}
    assert len(given) > 10
    assert given | {"broker", "broker_credentials"} <= set(FaustSettings.SETTINGS)


def test_app_has_what_we_call() -> None:
    """Life cycle, signals, agents, pages."""
    assert inspect.iscoroutinefunction(faust.App.on_stop)
    assert parameters(faust.App.on_stop) == []
    assert inspect.getattr_static(faust.App, "transport").fset is not None
    for signal in (faust.App.on_partitions_assigned, faust.App.on_partitions_revoked):
        assert parameters(signal.connect) == ["fun", "kwargs"]
    assert {"value_serializer", "value_type", "key_type"} <= set(parameters(faust.App.topic))
    assert parameters(faust.App.agent)[0] == "channel"
    assert parameters(faust.App.task)[0] == "fun"
    assert {"path", "name"} <= set(parameters(faust.App.page))
    assert {"content_type", "status"} <= set(parameters(View.bytes))


def test_stream_and_worker_have_what_we_call() -> None:
    """Events by hand, acked at hand-over; a worker that leaves our logs alone."""
    assert parameters(faust.Stream.noack) == parameters(faust.Stream.events) == []
    assert not inspect.iscoroutinefunction(Event.ack)
    assert {"message", "value"} <= set(Event.__slots__)
    assert {"partition", "offset"} <= set(faust.types.tuples.Message.__slots__)
    assert {"app", "quiet", "redirect_stdouts"} <= set(parameters(faust.Worker))
    assert "override_logging" in parameters(mode.Worker)
    assert callable(faust.Worker.execute_from_commandline)
