import pytest

from streams.broker.progress import report_to_stderr


def test_plain_lines_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets a line per quarter, not one per chunk."""
    with report_to_stderr("Fetching", 1000) as advance:
        for _ in range(100):
            advance(10)
    percents = [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert percents == ["0 MiB", "25 %", "50 %", "75 %", "100 %"]


def test_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal gets a bar that says what is fetched."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with report_to_stderr("Fetching", 1000) as advance:
        advance(1000)
    assert "Fetching" in capsys.readouterr().err
