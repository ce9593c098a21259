import os
from pathlib import Path

import pytest

from streams.broker.cache import BrokerCache, adopt, cache_root
from streams.broker.lock import Jar, Lock, sha256_of


@pytest.fixture
def cache(tmp_path: Path) -> BrokerCache:
    """An empty cache for one jar of three bytes."""
    content = tmp_path / "content"
    content.write_bytes(b"jar")
    jar = Jar("org.apache.kafka", "kafka_2.13", "4.1.1", sha256_of(content), 3)
    return BrokerCache(Lock((jar,)), tmp_path / "cache")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"COUNTERMAND_CACHE_DIR": "/c", "XDG_CACHE_HOME": "/x"}, Path("/c")),
        ({"XDG_CACHE_HOME": "/x"}, Path("/x/countermand")),
        ({"XDG_CACHE_HOME": ""}, Path.home() / ".cache" / "countermand"),
    ],
    ids=["own variable", "XDG", "home"],
)
def test_the_cache_is_where_the_user_says(environ: dict[str, str], expected: Path) -> None:
    """The project's own variable wins over the desktop's, and that over the home folder."""
    assert cache_root(environ) == expected


def test_the_cache_is_outside_the_checkout_by_default() -> None:
    """A clean clone and a removed one leave the fetched jars alone."""
    assert Path(__file__).parents[4] not in cache_root({}).parents


def test_a_damaged_jar_counts_as_missing(cache: BrokerCache) -> None:
    """What the disk lost is fetched again instead of being run."""
    (jar,) = cache.lock.jars
    cache.jars.mkdir(parents=True)
    cache.path(jar).write_bytes(b"jar")
    assert cache.missing() == ()
    cache.path(jar).write_bytes(b"jaz")
    assert cache.missing() == (jar,)


def test_scratch_is_removed_also_after_an_error(cache: BrokerCache) -> None:
    """A failed preparation leaves nothing half-made behind."""
    with pytest.raises(FileNotFoundError), cache.scratch() as scratch:
        adopt(scratch / "never made", scratch / "target")
    assert [path.name for path in cache.folder.iterdir()] == ["jars"]


def test_abandoned_scratch_is_removed_and_live_scratch_is_not(cache: BrokerCache) -> None:
    """The leavings of a killed process go after a day; those of a live one stay."""
    with cache.scratch() as live:
        abandoned = cache.folder / ".partial-old"
        abandoned.mkdir()
        os.utime(abandoned, (0, 0))
        with cache.scratch():
            assert live.exists()
            assert not abandoned.exists()


def test_adopting_replaces_a_damaged_file(tmp_path: Path) -> None:
    """A file in the cache changes in one step, whatever was there."""
    made, target = tmp_path / "made", tmp_path / "deep" / "target"
    for content in ("first", "second"):
        made.write_text(content)
        adopt(made, target)
        assert target.read_text() == content
