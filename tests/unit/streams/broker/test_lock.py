import hashlib
from pathlib import Path

import pytest

from streams.broker import lock
from streams.broker.lock import Jar
from streams.errors import BrokerError


def jar_of(content: bytes) -> Jar:
    """The lock entry of these bytes."""
    return Jar("org.a", "b", "1.0", hashlib.sha256(content).hexdigest(), len(content))


def test_the_shipped_lock_is_kafka_with_a_logging_binding() -> None:
    """The package ships a complete lock of the Kafka release the project is tested with."""
    shipped = lock.load()
    names = {jar.artifact for jar in shipped.jars}
    assert shipped.kafka_version == "4.1.1"
    assert {"kafka_2.13", "kafka-clients", "slf4j-api", "slf4j-simple"} <= names
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in shipped.jars)


def test_file_names_in_the_lock_are_unique() -> None:
    """All jars lie in one folder, so no two may have the same file name."""
    names = [jar.filename for jar in lock.load().jars]
    assert len(set(names)) == len(names)


def test_what_is_rendered_parses_to_the_same() -> None:
    """Writing a lock and reading it loses nothing."""
    jars = lock.load().jars
    assert lock.parse("# a comment\n\n" + lock.render(jars)).jars == jars


@pytest.mark.parametrize("line", ["a:b:1 abc", "a:b abc 3", "a:b:1 abc many"])
def test_a_damaged_line_is_named(line: str) -> None:
    """A lock that was edited by hand says which line is wrong."""
    with pytest.raises(BrokerError, match=line):
        lock.parse(line)


def test_the_digest_changes_with_any_jar() -> None:
    """Another set of jars gets another cache folder."""
    one, other = jar_of(b"one"), jar_of(b"other")
    assert lock.Lock((one,)).digest != lock.Lock((other,)).digest


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"right", True), (b"wrong", False), (b"righ", False), (None, False)],
    ids=["same", "same size, other bytes", "truncated", "absent"],
)
def test_a_jar_matches_only_its_exact_bytes(
    tmp_path: Path, content: bytes | None, expected: bool
) -> None:
    """A damaged jar is never taken for the locked one."""
    path = tmp_path / "b-1.0.jar"
    if content is not None:
        path.write_bytes(content)
    assert jar_of(b"right").matches(path) is expected
