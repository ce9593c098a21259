"""What compose.yaml describes, with all of its containers running."""

import json
from pathlib import Path

import pytest

from tests.deploy.composition import COMPOSE, running
from tests.support.deadline import eventually
from tests.support.image import Image

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(900)]


def test_all_of_it_runs_and_cancels_a_run(image: Image, tmp_path: Path) -> None:
    """Every service becomes healthy; a run of the example is cancelled; all end in order."""
    with running(image, (COMPOSE,), tmp_path) as composition:
        composition.call("worker", "python3", "-m", "reminders", "book", "ann", "+3600")
        composition.call("worker", "python3", "-m", "reminders", "cancel", "ann")
        options = ("--from-beginning", "--max", "1", "--timeout", "300", "--json")
        cancelled = json.loads(
            composition.call("api", "countermand", "cancelled", "tail", *options)
        )
        assert cancelled["data"]["function_id"] == "clinic-remind"

        key = composition.call("api", "countermand", "keys", "create", "me", "--role", "admin")
        command = f"COUNTERMAND_API_KEY={key.strip()} countermand runs list --json"
        (run,) = eventually(lambda: composition.call("api", "env", *command.split()).splitlines())
        assert json.loads(run)["run_id"] == cancelled["id"]
        page = "from urllib.request import urlopen; print(urlopen('http://localhost:8420/').url)"
        assert "sign-in" in composition.call("api", "python3", "-c", page)

        codes = composition.stop()
        # A Java that is told to stop ends so, in order.
        assert codes.pop("kafka") == 143
        assert set(codes.values()) == {0}
