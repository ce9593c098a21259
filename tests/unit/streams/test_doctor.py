"""The checks of `doctor` that need no broker."""

import resource
from pathlib import Path

import pytest

from streams.doctor import checks as doctor
from streams.doctor.checks import Result, Verdict
from streams.errors import UnreachableError
from streams.settings import Settings, load


@pytest.fixture
def settings(clean_environment: None, tmp_path: Path) -> Settings:
    """Settings with a state directory that doesn't exist yet."""
    return load(state_dir=tmp_path / "a" / "b")


def test_a_state_directory_is_tried_and_left_as_it_was(settings: Settings, tmp_path: Path) -> None:
    """The nearest folder that exists is written to; nothing stays."""
    assert doctor.state_dir(settings).verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_a_state_directory_that_cannot_be_written_fails(settings: Settings, tmp_path: Path) -> None:
    """The remedy names the setting."""
    (tmp_path / "a").write_text("a file")
    result = doctor.state_dir(settings)
    assert result.verdict is Verdict.FAILED
    assert "COUNTERMAND_STATE_DIR" in result.remedy


def test_few_open_files_are_a_warning(settings: Settings) -> None:
    """RocksDB needs many; the remedy is a command."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        result = doctor.open_files(settings)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result.verdict is Verdict.WARNING
    assert result.remedy.startswith("Run: ulimit -n ")


def test_pins_are_read_from_requirements() -> None:
    """Extras and markers are no part of a version."""
    pins = dict(
        doctor._pins(["aiokafka[lz4,zstd]==0.14.0", "orjson>=3", 'jgo==3.2.0 ; extra == "local"'])
    )
    assert pins == {"aiokafka": "0.14.0", "jgo": "3.2.0"}


def test_a_check_that_raises_has_failed(settings: Settings) -> None:
    """The others still run."""

    def broken(_settings: Settings) -> Result:
        raise UnreachableError("no answer")

    results = list(doctor.run(settings, (("broken", broken), ("codecs", doctor.codecs))))
    assert [(result.name, result.verdict) for result in results] == [
        ("broken", Verdict.FAILED),
        ("codecs", Verdict.OK),
    ]
