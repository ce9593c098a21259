"""The command beside a page does what the page did, in a real shell."""

import shutil
import subprocess

import pytest

from streams.dashboard.calls import ApiCall
from streams.dashboard.curl import curl

ORIGIN = "http://127.0.0.1:8420"


@pytest.mark.parametrize("text", ["plain", "it's", "$(touch x)", "`x`", '"', "a b&c=d", "%41", "ü"])
def test_in_a_shell(text: str) -> None:
    """The shell hands on each word as it is meant."""
    call = ApiCall("POST", "/v1/cancellations", "", {"reason": text, "name": None})
    command = curl(call, ORIGIN)
    assert command is not None
    shell = shutil.which("sh")
    assert shell is not None
    echo = command.replace("curl", "printf '%s\\n'", 1)
    done = subprocess.run(
        [shell, "-c", echo], env={"COUNTERMAND_API_KEY": "k"}, capture_output=True, check=True
    )
    words = done.stdout.decode().split("\n")
    assert words[:-1] == [
        "-H",
        "Authorization: Bearer k",
        "-X",
        "POST",
        "-H",
        "Content-Type: application/json",
        "-d",
        f'{{"reason":"{text}"}}' if text != '"' else '{"reason":"\\""}',
        f"{ORIGIN}/v1/cancellations",
    ]


@pytest.mark.parametrize("text", ["\n", "\x1b[2J", "\u202e", "\x7f"])
def test_control_characters(text: str) -> None:
    """A command with them isn't offered: who pastes it may run something else."""
    assert curl(ApiCall("POST", "/v1/runs/" + text, "", {"reason": "x"}), ORIGIN) is not None
    assert curl(ApiCall("POST", "/v1/runs", "", {"reason": text}), ORIGIN + text) is None
