"""Upgrade: this release goes on with what an earlier one has left on a real broker."""

import shutil
from pathlib import Path

import pytest

from tests.upgrade.after import go_on
from tests.upgrade.archive import DISK, GOLDEN, unpack
from tests.upgrade.scenario import PARTITIONS

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600)]

FILES = sorted(GOLDEN.glob("*.tar.xz"))


@pytest.fixture(params=FILES, ids=lambda file: file.name.partition(".")[0])
def left(request: pytest.FixtureRequest, prepared_cache: None, tmp_path: Path) -> Path:
    """A folder with all that a release has left."""
    unpack(request.param, tmp_path)
    return tmp_path


def identities(folder: Path) -> list[str]:
    """What RocksDB calls the stores of the partitions: a new store has another name."""
    stores = [folder / DISK / str(number) for number in range(PARTITIONS)]
    return [(store / "IDENTITY").read_text(encoding="utf-8") for store in stores]


def test_there_is_a_release_before() -> None:
    """Without one the tests below would show nothing."""
    assert FILES


def test_its_topics_and_disk_are_taken_over(left: Path) -> None:
    """Nothing is lost, doubled or forgotten, and the disk is gone on with."""
    before = identities(left)
    go_on(None, left)
    assert identities(left) == before


def test_its_topics_are_enough(left: Path) -> None:
    """Nothing is lost, doubled or forgotten without its disk."""
    before = identities(left)
    shutil.rmtree(left / DISK)
    go_on(None, left)
    assert set(identities(left)).isdisjoint(before)
