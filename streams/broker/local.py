"""`LocalBroker`: start, stop, crash and restart a real Kafka on this machine."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streams import private
from streams.broker import config, jvm, lock
from streams.broker.cache import BrokerCache
from streams.broker.download import ensure_jars
from streams.broker.java import find_java
from streams.broker.ports import choose_ports
from streams.broker.process import GuardedProcess
from streams.broker.readiness import Contact, wait_until_ready
from streams.broker.storage import cluster_id, format_storage
from streams.errors import BrokerError

LOG_NAME = "broker.log"
DEFAULT_HEAP_MIB = 1024
DEFAULT_START_TIMEOUT_S = 180.0


class LocalBroker:
    """A single-node Apache Kafka that ends with this process, however that ends.

    As a context manager it runs inside the block. What it stores stays in `data_dir`
    for the next start; without one it is kept until `close` and then removed.

    Args:
        data_dir: Folder for the records, the configuration and `broker.log`.
        port: Port for clients; a free one if None, the same after a restart.
        host: Address of this machine to listen on, and by which clients find the broker. Whoever
            reaches an address other than loopback can read and write everything.
        heap_mib: The most heap the JVM may take.
        properties: Kafka broker properties that win over `config.DEFAULTS`.
        client: Client properties to reach the broker with, if `properties` secures it.
        jvm_options: Options for Java that win over this package's own.
        start_timeout_s: How long a start may take, download excluded.
    """

    def __init__(  # noqa: PLR0913  # each is one independent setting of the broker
        self,
        data_dir: Path | None = None,
        port: int | None = None,
        *,
        host: str = config.HOST,
        heap_mib: int = DEFAULT_HEAP_MIB,
        properties: Mapping[str, str] | None = None,
        client: Mapping[str, str] | None = None,
        jvm_options: Sequence[str] = (),
        start_timeout_s: float = DEFAULT_START_TIMEOUT_S,
    ) -> None:
        self._ports = choose_ports(port, host)
        self._temporary = (
            tempfile.TemporaryDirectory(prefix="countermand-kafka-") if data_dir is None else None
        )
        self.data_dir = Path(self._temporary.name if self._temporary else data_dir or "").absolute()
        self._heap_mib = heap_mib
        self._properties = dict(properties or {})
        self._client = dict(client or {})
        self._jvm_options = tuple(jvm_options)
        self._start_timeout_s = start_timeout_s
        self._process: GuardedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The value of a client's `bootstrap.servers`."""
        return f"{self._ports.host}:{self._ports.broker}"

    @property
    def log_path(self) -> Path:
        """The file with all output of the JVM."""
        return self.data_dir / LOG_NAME

    @property
    def pid(self) -> int:
        """The process id of the JVM, to suspend it for example."""
        if self._process is None:
            raise BrokerError("The local broker does not run; call start() first")
        return self._process.pid

    def start(self) -> None:
        """Fetch what is missing, format new storage, and run until clients are served."""
        if self._process is not None:
            raise BrokerError("The local broker runs already; call stop() first")
        process = self._launch()
        try:
            contact = Contact(self.bootstrap_servers, cluster_id(self._log_dir), self._client)
            wait_until_ready(process, contact, self.log_path, self._start_timeout_s)
        except BaseException:
            process.kill()
            raise
        self._process = process

    def stop(self) -> None:
        """Stop in order and keep the data; a broker that does not run is left alone."""
        if self._process is not None:
            process, self._process = self._process, None
            process.stop()

    def kill(self) -> None:
        """End the JVM with SIGKILL, as a crash would, and keep the data."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()

    def restart(self) -> None:
        """Stop in order and start again on the same port with the same data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and remove the data if it was in a temporary folder."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _log_dir(self) -> Path:
        return self.data_dir / "logs"

    def _write_properties(self) -> Path:
        path = self.data_dir / "server.properties"
        properties = config.broker_properties(self._ports, self._log_dir, self._properties)
        path.write_text(config.render(properties), encoding="ascii")
        return path

    def _launch(self) -> GuardedProcess:
        cache = BrokerCache(lock.load())
        java = find_java()
        ensure_jars(cache)
        format_storage(self._log_dir, cache, java)
        (self.data_dir / "tmp").mkdir(exist_ok=True)
        properties = self._write_properties()
        private.make_tree(self.data_dir)
        options = [
            *jvm.broker_options(java, self.data_dir, self._heap_mib),
            *jvm.archive_options(cache, java),
            *self._jvm_options,
        ]
        return GuardedProcess(
            jvm.command(java, options, "kafka.Kafka", str(properties)),
            self.log_path,
            environment=jvm.environment(cache),
            remove_if_orphaned=self.data_dir if self._temporary else None,
        )
