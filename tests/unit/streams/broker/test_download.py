import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streams.broker.cache import BrokerCache
from streams.broker.download import ensure_jars, maven_fetch
from streams.broker.lock import Jar, Lock, render
from streams.errors import BrokerError
from tests.support.deadline import eventually

CONTENTS = {f"part-{number}": f"content {number}".encode() * 1000 for number in range(5)}


def jar_of(artifact: str, content: bytes) -> Jar:
    """The lock entry of these bytes."""
    return Jar("org.a", artifact, "1.0", hashlib.sha256(content).hexdigest(), len(content))


JARS = (jar_of("kafka_2.13", b"kafka"), *(jar_of(name, data) for name, data in CONTENTS.items()))
ALL_CONTENTS = {"kafka_2.13": b"kafka", **CONTENTS}


@pytest.fixture
def cache(tmp_path: Path) -> BrokerCache:
    """An empty cache for six small jars."""
    return BrokerCache(Lock(JARS), tmp_path)


class FakeRepository:
    """A fetch from memory that can fail in the ways a network does."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, list[bytes | OSError]] = {}
        self._lock = threading.Lock()

    def __call__(self, jar: Jar, folder: Path) -> Path:
        """Answer for one jar, as prepared or in order."""
        with self._lock:
            self.asked.append(jar.artifact)
            prepared = self.answers.get(jar.artifact)
            answer = prepared.pop(0) if prepared else ALL_CONTENTS[jar.artifact]
        path = folder / jar.filename
        if isinstance(answer, OSError):
            path.write_bytes(b"half")
            raise answer
        path.write_bytes(answer)
        return path


def test_all_jars_are_fetched_once_and_then_never(cache: BrokerCache) -> None:
    """The second start finds everything and asks nobody."""
    repository = FakeRepository()
    ensure_jars(cache, repository)
    ensure_jars(cache, repository)
    assert sorted(repository.asked) == sorted(ALL_CONTENTS)
    assert cache.missing() == ()


def test_only_the_damaged_jar_is_fetched_again(cache: BrokerCache) -> None:
    """One damaged file does not cost the whole download."""
    repository = FakeRepository()
    ensure_jars(cache, repository)
    cache.path(JARS[2]).write_bytes(b"damaged")
    repository.asked.clear()
    ensure_jars(cache, repository)
    assert repository.asked == [JARS[2].artifact]
    assert cache.missing() == ()


def test_passing_trouble_is_outlasted(cache: BrokerCache) -> None:
    """A broken connection and a damaged answer are tried again."""
    repository = FakeRepository()
    repository.answers["part-1"] = [TimeoutError("slow"), b"damaged"]
    ensure_jars(cache, repository)
    assert repository.asked.count("part-1") == 3
    assert cache.missing() == ()


@pytest.mark.parametrize("answer", [b"damaged", ConnectionError("no route")])
def test_lasting_trouble_names_the_jar_and_leaves_no_damage(
    cache: BrokerCache, answer: bytes | OSError
) -> None:
    """What cannot be fetched intact stays absent, and the error says what to do."""
    repository = FakeRepository()
    repository.answers["part-1"] = [answer] * 9
    with pytest.raises(BrokerError, match=r"org\.a:part-1:1\.0.*COUNTERMAND_KAFKA_BOOTSTRAP"):
        ensure_jars(cache, repository)
    assert not cache.path(JARS[2]).exists()
    assert not list(cache.folder.glob(".partial-*"))


def test_two_at_once_do_no_harm(cache: BrokerCache) -> None:
    """Whoever renames last, every jar is whole at any time."""
    both_here = threading.Barrier(2)
    repository = FakeRepository()

    def fetch_together(jar: Jar, folder: Path) -> Path:
        if jar.artifact == "part-0":
            both_here.wait(30)
        return repository(jar, folder)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: ensure_jars(cache, fetch_together), range(2)))
    assert cache.missing() == ()
    assert repository.asked.count("part-0") == 2


def test_every_copy_of_a_jar_has_the_same_date(cache: BrokerCache) -> None:
    """The start-up archive knows its jars by their dates, also when one is fetched again."""
    ensure_jars(cache, FakeRepository())
    first = {path.name: path.stat().st_mtime for path in cache.jars.iterdir()}
    cache.path(JARS[0]).unlink()
    ensure_jars(cache, FakeRepository())
    assert {path.name: path.stat().st_mtime for path in cache.jars.iterdir()} == first


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare install says which extra runs a broker."""
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(BrokerError, match=r"countermand\[local\]"):
        maven_fetch()


class Repository(ThreadingHTTPServer):
    """A Maven repository on the loopback interface that breaks off some of its answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.truncated: set[str] = set()
        self.stalled: set[str] = set()
        self.stalling = threading.Event()
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        """Its address, as jgo wants it."""
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        name = self.path.split("/")[-3]
        if not self.path.endswith(".jar") or name not in ALL_CONTENTS:
            self.send_error(404)
            return
        content = ALL_CONTENTS[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if name in self.server.truncated:
            content = content[: len(content) // 2]
        elif name in self.server.stalled:
            self.wfile.write(content[:10])
            self.wfile.flush()
            self.server.stalling.set()
            self.server.go_on.wait()
            return
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep the test's output to what the test says."""


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A running repository, reached without any proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


def test_jgo_fetches_by_exact_coordinate(cache: BrokerCache, repository: Repository) -> None:
    """The real client brings every jar from a Maven repository."""
    ensure_jars(cache, maven_fetch({"test": repository.url}))
    assert cache.missing() == ()


def test_a_cut_off_answer_is_no_jar(cache: BrokerCache, repository: Repository) -> None:
    """A connection that breaks in the middle leaves no file in the cache."""
    repository.truncated.add("part-3")
    with pytest.raises(BrokerError, match="part-3"):
        ensure_jars(cache, maven_fetch({"test": repository.url}))
    assert not cache.path(JARS[4]).exists()


def test_a_jar_that_is_not_there_is_named(cache: BrokerCache, repository: Repository) -> None:
    """A repository without the jar gives the same error as a broken one."""
    unknown = BrokerCache(Lock((*JARS, jar_of("unknown", b"x"))), cache.folder)
    with pytest.raises(BrokerError, match="unknown"):
        ensure_jars(unknown, maven_fetch({"test": repository.url}))


_DOWNLOAD = """
import sys
from pathlib import Path
from streams.broker.cache import BrokerCache
from streams.broker.download import ensure_jars, maven_fetch
from streams.broker.lock import parse
ensure_jars(BrokerCache(parse(sys.argv[1]), Path(sys.argv[2])), maven_fetch({"test": sys.argv[3]}))
"""


def test_a_killed_download_leaves_no_damage(
    cache: BrokerCache, repository: Repository, tmp_path: Path
) -> None:
    """After kill -9 in the middle of a file, the next start fetches only what is missing."""
    repository.stalled.add("part-2")
    command = [sys.executable, "-c", _DOWNLOAD, render(JARS), str(tmp_path), repository.url]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as download:
        assert repository.stalling.wait(60)
        others = [jar for jar in JARS if jar.artifact != "part-2"]
        eventually(lambda: all(cache.path(jar).exists() for jar in others))
        os.kill(download.pid, signal.SIGKILL)
    assert [jar.artifact for jar in cache.missing()] == ["part-2"]
    again = FakeRepository()
    ensure_jars(cache, again)
    assert again.asked == ["part-2"]
