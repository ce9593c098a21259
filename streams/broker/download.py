"""Fetch the locked jars into the cache, several at a time."""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from streams.broker.cache import BrokerCache, adopt
from streams.broker.lock import Jar
from streams.broker.progress import Advance, report_to_stderr
from streams.errors import BrokerError

# Takes a jar and an empty folder, and returns the file it downloaded into it.
Fetch = Callable[[Jar, Path], Path]

_WORKERS = 8
_TRIES = 3
# One date for every copy of a jar, because the start-up archive is tied to its jars'
# dates and two processes may fetch the same jar at once.
_JAR_TIME_S = 1_000_000_000
_ADVICE = (
    "Check that Maven Central can be reached (once; later starts work offline), or set "
    "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS to a Kafka that already runs."
)


def ensure_jars(cache: BrokerCache, fetch: Fetch | None = None) -> None:
    """Fetch every locked jar that is not in the cache, or differs from the lock.

    Raises:
        BrokerError: a jar can't be fetched.
    """
    missing = cache.missing()
    if not missing:
        return
    fetch = fetch or maven_fetch()
    title = f"Fetching Apache Kafka {cache.lock.kafka_version}"
    total = sum(jar.size_bytes for jar in missing)
    with cache.scratch() as scratch, report_to_stderr(title, total) as advance:
        _fetch_all(partial(_fetch_one, cache, fetch, scratch, advance), missing)


def maven_fetch(repositories: dict[str, str] | None = None) -> Fetch:
    """A fetch by exact coordinate, from `repositories` by name; from jgo's own default if None."""
    try:
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415  # an extra
    except ImportError as error:
        message = "The local broker needs an extra: pip install 'countermand[local]'"
        raise BrokerError(message) from error

    def fetch(jar: Jar, folder: Path) -> Path:
        context = MavenContext(
            repo_cache=folder, remote_repos=repositories, resolver=PythonResolver()
        )
        artifact = context.create_dependency(jar.coordinate).artifact
        downloaded = context.resolver.download(artifact)
        if downloaded is None:
            raise FileNotFoundError(jar.coordinate)
        return downloaded

    return fetch


def _fetch_all(fetch_one: Callable[[Jar], None], jars: Sequence[Jar]) -> None:
    # Largest first, so that no long download is left alone at the end.
    largest_first = sorted(jars, key=lambda jar: jar.size_bytes, reverse=True)
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="fetch-jar")
    try:
        for _ in pool.map(fetch_one, largest_first):
            pass
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fetch_one(cache: BrokerCache, fetch: Fetch, scratch: Path, advance: Advance, jar: Jar) -> None:
    problem = "no try was made"
    for _ in range(_TRIES):
        folder = Path(tempfile.mkdtemp(dir=scratch))
        try:
            made = fetch(jar, folder)
        # OSError covers requests' errors and timeouts, RuntimeError is jgo's "not found".
        except (OSError, RuntimeError) as error:
            problem = str(error)
            continue
        if jar.matches(made):
            os.utime(made, (_JAR_TIME_S, _JAR_TIME_S))
            adopt(made, cache.path(jar))
            advance(jar.size_bytes)
            return
        problem = f"{made.stat().st_size} bytes arrived that are not the locked ones"
    raise BrokerError(f"Cannot fetch {jar.coordinate}: {problem}. {_ADVICE}")
