from pathlib import Path

import pytest

from streams.broker import storage
from streams.broker.cache import BrokerCache
from streams.broker.java import Java
from streams.broker.lock import load
from streams.errors import BrokerError

META = "#\ncluster.id=AAAAAAAAAAAAAAAAAAAAAQ\ndirectory.id=BB\nnode.id=1\nversion=1\n"
NO_JAVA = Java(Path("absent-java"), (25,))


@pytest.fixture
def cache(tmp_path: Path) -> BrokerCache:
    """A cache in which Kafka's own tool has run already."""
    cache = BrokerCache(load(), tmp_path / "cache")
    template = cache.folder / "storage"
    template.mkdir(parents=True)
    (template / storage.META).write_text(META)
    (template / storage.BOOTSTRAP).write_bytes(b"records")
    return cache


def meta_of(folder: Path) -> dict[str, str]:
    """The pairs that mark a folder as formatted."""
    lines = (folder / storage.META).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_each_folder_becomes_a_cluster_of_its_own(cache: BrokerCache, tmp_path: Path) -> None:
    """Two data folders share the version's records but no id."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        storage.format_storage(folder, cache, NO_JAVA)
        assert (folder / storage.BOOTSTRAP).read_bytes() == b"records"
    one, other = meta_of(first), meta_of(second)
    assert {key for key in one if one[key] != other[key]} == {"cluster.id", "directory.id"}
    assert storage.cluster_id(first) == one["cluster.id"]
    assert (one["node.id"], one["version"]) == ("1", "1")


def test_formatted_storage_is_left_alone(cache: BrokerCache, tmp_path: Path) -> None:
    """A restart keeps the cluster and its data."""
    storage.format_storage(tmp_path / "data", cache, NO_JAVA)
    before = meta_of(tmp_path / "data")
    storage.format_storage(tmp_path / "data", cache, NO_JAVA)
    assert meta_of(tmp_path / "data") == before


def test_ids_have_kafkas_form() -> None:
    """An id is 22 characters and never looks like an option."""
    ids = {storage.new_id() for _ in range(500)}
    assert len(ids) == 500
    assert all(len(one) == 22 and not one.startswith("-") for one in ids)


def test_a_tool_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    """Without a template the tool is needed, and its failure is told."""
    cache = BrokerCache(load(), tmp_path)
    with pytest.raises(BrokerError, match="storage tool"):
        storage.format_storage(tmp_path / "data", cache, NO_JAVA)
    assert not (tmp_path / "data" / storage.META).exists()
