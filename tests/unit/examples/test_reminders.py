"""The reminder's function in the SDK's testing kit, and its command line."""

import asyncio
from typing import Any

import pytest

from examples.schedule_reminder import reminders
from streams.sdk.testing import InSleep, TestKit

AT = "2026-12-24T09:00:00+00:00"
DATA = {"appointment": "ann", "at": AT, "remindAt": "2026-12-24T08:00:00+00:00"}
NOW = "2026-12-20T08:00:00Z"


def test_a_reminder_comes_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    """After four days of sleep, in the second attempt, once."""
    outcome = asyncio.run(TestKit(reminders.app, now=NOW).run("remind", data=DATA))
    assert (outcome.status, outcome.steps, outcome.attempts) == ("completed", ["send"], 2)
    assert outcome.slept_ms == 4 * 86_400_000
    assert capsys.readouterr().out == f"Reminder: ann at {AT}\n"


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        ({"type": "event", "event": {"name": "appointment/cancelled"}}, "appointment/cancelled"),
        ({"type": "api"}, "api"),
    ],
)
def test_a_cancelled_appointment(
    capsys: pytest.CaptureFixture[str], cause: dict[str, Any], why: str
) -> None:
    """Nothing is sent, and it says why."""
    kit = TestKit(reminders.app, now=NOW)
    cancel = InSleep("until it is time", after="3d")
    outcome = asyncio.run(kit.run("remind", data=DATA, cancel=cancel, cause=cause))
    assert (outcome.status, outcome.steps) == ("cancelled", [])
    asyncio.run(kit.clean_up(outcome))
    assert capsys.readouterr().out == f"No reminder of ann: {why}\n"


@pytest.mark.parametrize("at", ["tomorrow", "2026-12-24T09:00:00", "+1.5", "+99999999999999"])
def test_an_instant_needs_its_zone(capsys: pytest.CaptureFixture[str], at: str) -> None:
    """What isn't an instant is refused before anything is sent."""
    with pytest.raises(SystemExit):
        reminders.main(["book", "ann", at])
    assert f"'{at}' is neither an instant with a time zone" in capsys.readouterr().err
