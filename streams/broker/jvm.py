"""The command line that runs a program of Kafka's on a JVM."""

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from streams.broker.cache import BrokerCache
from streams.broker.java import Java
from streams.errors import BrokerError

# From this release a JVM can start from an archive of loaded and linked classes.
_OLDEST_WITH_ARCHIVE = 25
# From this release the JVM warns of what Kafka's jars do unless told that it is expected.
_OLDEST_WITH_WARNINGS = 24


def broker_options(java: Java, data_dir: Path, heap_mib: int) -> list[str]:
    """The JVM options of a broker that keeps all its files below `data_dir`."""
    options = [
        f"-Xmx{heap_mib}m",
        "-XX:+UseG1GC",
        "-XX:+ExitOnOutOfMemoryError",
        # These would leave files in the system's folder for temporary files.
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={data_dir / 'tmp'}",
        f"-XX:ErrorFile={data_dir / 'jvm-crash.log'}",
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    ]
    if java.major >= _OLDEST_WITH_WARNINGS:
        options += ["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"]
    return options


def archive_path(cache: BrokerCache, java: Java) -> Path | None:
    """Where the start-up archive of this Java is kept, or None if it cannot have one."""
    if java.major < _OLDEST_WITH_ARCHIVE:
        return None
    version = ".".join(map(str, java.version))
    return cache.folder / f"start-{version}-{platform.machine()}.aot"


def archive_options(cache: BrokerCache, java: Java) -> list[str]:
    """Options to start from the archive if there is one; a JVM it does not fit ignores it."""
    path = archive_path(cache, java)
    if path is None or not path.exists():
        return []
    return [f"-XX:AOTCache={path}", "-Xlog:aot*=off"]


def environment(cache: BrokerCache) -> dict[str, str]:
    """The environment of a JVM, with a class path too long to read in a process list."""
    return {**os.environ, "CLASSPATH": cache.class_path()}


def run(command: Sequence[str], cache: BrokerCache, timeout_s: float, failure: str) -> None:
    """Run a command line of `command` to its end.

    Raises:
        BrokerError: it didn't end well or in time: `failure`, and what it wrote.
    """
    try:
        subprocess.run(  # noqa: S603  # the Java found and the jars locked
            command,
            env=environment(cache),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerError(f"{failure}: {error}") from error
    except subprocess.CalledProcessError as error:
        raise BrokerError(f"{failure}:\n{error.stdout}{error.stderr}") from error


def command(java: Java, options: Sequence[str], *program: str) -> list[str]:
    """The whole command line."""
    return [str(java.executable), *options, *program]
