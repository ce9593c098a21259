"""Bytes of earlier releases stay readable, and keys stay the same."""

from pathlib import Path

import pytest

from tests.compat.samples import FORMER, KEYS, SAMPLES
from topology import codec

GOLDEN = Path(__file__).parent / "golden"
# A disk of another format is wiped, so its bytes are the one thing that need not be read.
READ = {name: one for name, one in {**SAMPLES, **FORMER}.items() if one.record is not None}


@pytest.mark.parametrize("name", READ)
def test_bytes_of_every_version_are_read(name: str) -> None:
    """What lies in topics and on disks today is read by every later release."""
    sample = READ[name]
    assert sample.codec.decode((GOLDEN / f"{name}.bin").read_bytes()) == sample.record


@pytest.mark.parametrize("name", SAMPLES)
def test_the_newest_version_is_what_is_written(name: str) -> None:
    """Whoever changes the bytes gives them a version, and a folder beside golden/v1."""
    sample = SAMPLES[name]
    assert sample.codec.encode(sample.record) == (GOLDEN / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", SAMPLES)
def test_bytes_of_another_version_are_refused(name: str) -> None:
    """A joiner stops at what it can't read, and never guesses."""
    data = bytearray((GOLDEN / f"{name}.bin").read_bytes())
    data[0] = 250
    with pytest.raises(codec.UnknownVersionError):
        SAMPLES[name].codec.decode(bytes(data))


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_the_same_as_ever(name: str) -> None:
    """A run that waits under a key must be found after an upgrade."""
    assert KEYS[name]() == (GOLDEN / f"{name}.bin").read_bytes()


def test_there_is_a_file_for_every_kind_and_no_other() -> None:
    """A new kind of record brings its bytes."""
    files = {str(path.relative_to(GOLDEN).with_suffix("")) for path in GOLDEN.glob("v*/*.bin")}
    assert files == {*SAMPLES, *FORMER, *KEYS}


def test_every_codec_has_a_sample() -> None:
    """No kind of internal record is left out."""
    codecs = {id(one) for one in vars(codec).values() if isinstance(one, codec.Codec)}
    assert codecs == {id(sample.codec) for sample in SAMPLES.values()}
