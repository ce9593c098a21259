"""The lock file: the jars of the broker, each with its hash and size."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from streams.errors import BrokerError

LOCK_NAME = "kafka.lock"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked jar: its Maven coordinate, its SHA-256 and its size."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def coordinate(self) -> str:
        """The `group:artifact:version` that names the jar in a Maven repository."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def filename(self) -> str:
        """The jar's name in the cache, the same as in a Maven repository."""
        return f"{self.artifact}-{self.version}.jar"

    def matches(self, path: Path) -> bool:
        """Whether `path` holds exactly the locked bytes."""
        try:
            return path.stat().st_size == self.size_bytes and sha256_of(path) == self.sha256
        except FileNotFoundError:
            return False


@dataclass(frozen=True, slots=True)
class Lock:
    """All jars of the broker, in class path order."""

    jars: tuple[Jar, ...]

    @property
    def digest(self) -> str:
        """A short name for this exact set of jars, used as its cache folder."""
        return hashlib.sha256(render(self.jars).encode()).hexdigest()[:16]

    @property
    def kafka_version(self) -> str:
        """The locked version of Kafka itself."""
        return next(jar.version for jar in self.jars if jar.artifact.startswith("kafka_"))

    @property
    def size_bytes(self) -> int:
        """The size of all jars together."""
        return sum(jar.size_bytes for jar in self.jars)


def load() -> Lock:
    """Read the lock that this package ships."""
    text = resources.files(__package__).joinpath(LOCK_NAME).read_text(encoding="utf-8")
    return parse(text)


def parse(text: str) -> Lock:
    """Read a lock's text: one `coordinate sha256 bytes` line per jar, `#` for comments."""
    lines = (line.strip() for line in text.splitlines())
    return Lock(tuple(_parse_line(line) for line in lines if line and not line.startswith("#")))


def render(jars: Iterable[Jar]) -> str:
    """Write jars as lock lines, in the order given."""
    return "".join(f"{jar.coordinate} {jar.sha256} {jar.size_bytes}\n" for jar in jars)


def sha256_of(path: Path) -> str:
    """Hash a file without reading it into memory at once."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _parse_line(line: str) -> Jar:
    try:
        coordinate, sha256, size = line.split()
        group, artifact, version = coordinate.split(":")
        return Jar(group, artifact, version, sha256, int(size))
    except ValueError as error:
        message = f"{LOCK_NAME} has a line that is not `coordinate sha256 bytes`: {line!r}"
        raise BrokerError(message) from error
