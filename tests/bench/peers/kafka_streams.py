"""The join on Kafka Streams: fetched and compiled here, run on the broker's Java."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streams.broker import lock
from streams.broker.cache import BrokerCache
from streams.broker.download import ensure_jars
from streams.broker.java import find_java

LOCK: Final = Path(__file__).with_name("kafka-streams.lock")
_SOURCE: Final = Path(__file__).with_name("Join.java")
# The oldest Java that runs the broker, so any javac and any java of today agree on it.
_RELEASE: Final = "17"
# As many as cores: the default of one would leave the second core to the broker alone.
_THREADS: Final = "2"
_HEAP: Final = "-Xmx1g"


@dataclass(frozen=True, slots=True)
class StreamsLock(lock.Lock):
    """The jars of Kafka Streams, kept beside those of the broker."""

    @property
    def kafka_version(self) -> str:
        """The locked version of Kafka Streams."""
        return next(jar.version for jar in self.jars if jar.artifact == "kafka-streams")


def why_not() -> str | None:
    """Why this machine can't run it, or None."""
    return None if shutil.which("javac") else "there is no javac on the PATH"


def command(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Fetch and compile into `folder`; the command line that runs it."""
    cache = BrokerCache(StreamsLock(lock.parse(LOCK.read_text(encoding="utf-8")).jars))
    ensure_jars(cache)
    classes = folder / "classes"
    javac = shutil.which("javac")
    assert javac is not None, "asked for before"
    compiling = [javac, "--release", _RELEASE, "-cp", cache.class_path(), "-d", str(classes)]
    subprocess.run([*compiling, str(_SOURCE)], check=True)
    java = str(find_java().executable)
    class_path = f"{classes}:{cache.class_path()}"
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return [java, _HEAP, quiet, "-cp", class_path, "Join", *arguments, _THREADS]
