"""The command line without a broker: use, exit codes, and what goes to which stream."""

import subprocess
import sys
from pathlib import Path

import pytest

from streams import errors
from streams.cli.commands import PANELS, Command, load
from streams.cli.exits import ExitCode, exit_code
from tests.support.cli import json_of, run

NOWHERE = "127.0.0.1:1"
CHECKOUT = Path(__file__).parents[4]
COMMANDS = (
    "up",
    "demo",
    "router",
    "joiner",
    "api",
    "keys create",
    "keys list",
    "keys revoke",
    "runs list",
    "runs show",
    "runs cancel",
    "cancel",
    "cancellations list",
    "cancellations show",
    "cancellations stop",
    "pause",
    "resume",
    "replay",
    "replays list",
    "replays show",
    "explain",
    "audit list",
    "topics create",
    "topics check",
    "functions apply",
    "functions list",
    "functions delete",
    "events send",
    "cancelled tail",
    "dead-letters list",
    "dead-letters redrive",
    "doctor",
    "version",
)

PROCESSES = {"router", "joiner", "api"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """--help works everywhere, without settings or a broker."""
    result = run(*command.split(), "--help")
    assert result.exit_code == ExitCode.OK
    assert "Usage:" in result.stdout


@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in PROCESSES])
def test_every_command_can_print_json(command: str) -> None:
    """The processes alone have nothing to print."""
    assert "--json" in run(*command.split(), "--help").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["topics", "create", "--partitions", "0"],
        ["events", "send"],
        ["events", "send", "{}", "--name", "a"],
        ["events", "send", "--data", "{}"],
        ["events", "send", "--name", "a", "--data", "["],
        ["events", "send", "--name", "a", "--data", "1"],
        ["functions", "apply"],
        ["functions", "apply", "-f", "-", "-f", "a.yaml"],
        ["dead-letters", "redrive"],
        ["dead-letters", "redrive", "--all", "0:1"],
        ["cancel"],
        ["cancel", "--function", "f", "--yes", "--confirm-at-most", "1"],
        ["runs", "list", "--after", "yesterday"],
        ["runs", "list", "--limit", "0"],
        ["pause", "f", "--running", "never", "--after", "1d"],
        ["pause", "f", "--running", "sometimes"],
        ["replay"],
        ["replay", "--function", "f", "--cancellation", "c"],
    ],
)
def test_wrong_use_is_told_apart(arguments: list[str]) -> None:
    """A script can tell its own mistake from a failure; the message is no data."""
    result = run(*arguments)
    assert result.exit_code == ExitCode.USAGE
    assert result.stdout == ""
    assert result.stderr


def test_wrong_settings_are_wrong_use() -> None:
    """The message names the variable, and there is no traceback."""
    result = run("topics", "check", partitions="many")
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.startswith("countermand: COUNTERMAND_PARTITIONS: ")
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback() -> None:
    """Whoever asks for it gets the exception itself."""
    result = run("--debug", "topics", "check", partitions="many")
    assert isinstance(result.exception, errors.SettingsError)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CountermandError("x"), ExitCode.FAILED),
        (errors.BrokerError("x"), ExitCode.FAILED),
        (errors.SettingsError("x"), ExitCode.USAGE),
        (errors.NotFoundError("x"), ExitCode.NOT_FOUND),
        (errors.RefusedError("x"), ExitCode.REFUSED),
        (errors.DefinitionError([]), ExitCode.REFUSED),
        (errors.UnreachableError("x"), ExitCode.UNREACHABLE),
        (errors.TopicsError("x"), ExitCode.TOPICS),
    ],
)
def test_each_class_of_error_has_its_code(error: Exception, code: ExitCode) -> None:
    """Exit codes are stable: scripts rely on them."""
    assert exit_code(error) is code


def test_exit_codes_are_documented() -> None:
    """Each code has its row."""
    page = (CHECKOUT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert all(f"| {code.value} |" in page for code in ExitCode)


def test_commands_are_documented() -> None:
    """So has each command."""
    page = (CHECKOUT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert all(word in page for command in COMMANDS for word in command.split())


@pytest.mark.parametrize(
    "arguments", [["topics", "check"], ["cancelled", "tail"], ["events", "send", '{"name":"a"}']]
)
def test_an_unreachable_broker_has_its_code(arguments: list[str]) -> None:
    """One clear message says which setting to look at."""
    result = run(*arguments, "-b", NOWHERE)
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS" in result.stderr


def test_an_unreachable_api_has_its_code() -> None:
    """So has an API that isn't there."""
    result = run("runs", "list", "--api-url", f"http://{NOWHERE}")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "COUNTERMAND_API_URL" in result.stderr


def test_doctor_reports_what_it_can_without_a_broker(tmp_path: Path) -> None:
    """Local checks are made, the broker's failure is one of them, secrets are masked."""
    result = run(
        "doctor",
        "--json",
        "-b",
        NOWHERE,
        state_dir=str(tmp_path),
        kafka_ssl_key_password="hunter2",  # noqa: S106  # of nobody
    )
    assert result.exit_code == ExitCode.FAILED
    result.exit_code = 0
    report = json_of(result)
    assert not report["ok"]
    verdicts = {check["name"]: check["verdict"] for check in report["checks"]}
    assert verdicts["broker"] == "failed"
    assert verdicts["codecs"] == verdicts["state directory"] == verdicts["settings"] == "ok"
    assert "hunter2" not in result.stdout
    sources = {row["variable"]: row["source"] for row in report["settings"]}
    assert sources["COUNTERMAND_STATE_DIR"] == "environment"
    assert sources["COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS"] == "flag"
    assert not list(tmp_path.iterdir())


def test_wrong_definitions_are_refused_with_their_place(tmp_path: Path) -> None:
    """File, line and field are in the message; nothing is asked of a broker."""
    definitions = tmp_path / "functions.yaml"
    definitions.write_text("functions:\n  - id: a\n    app: b\n")
    result = run("functions", "apply", "-f", str(definitions), "-b", NOWHERE)
    assert result.exit_code == ExitCode.REFUSED
    assert f"{definitions}:2" in result.stderr


def test_version_names_what_it_stands_on() -> None:
    """A bug report needs these."""
    versions = json_of(run("version", "--json"))
    assert versions["faust-streaming"] == "0.15.3"
    assert "countermand" in versions


def test_a_closed_pipe_is_no_error_message() -> None:
    """`countermand … | head` ends quietly, as other tools do."""
    script = f"set -o pipefail; {sys.executable} -m streams.cli version | true; exit $?"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert done.returncode in {ExitCode.OK, ExitCode.BROKEN_PIPE}
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["nonsense"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    """The command line starts fast: a command's libraries come when it is called."""
    script = (
        "import atexit, sys; from streams.cli import main; "
        "heavy = ('confluent_kafka', 'faust', 'fastapi', 'sqlalchemy', 'rocksdict', 'httpx'); "
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules])); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("name", "command"), [item for commands in PANELS.values() for item in commands.items()]
)
def test_help_says_what_each_module_declares(name: str, command: Command) -> None:
    """The table of commands, from which `--help` is made, repeats their own help."""
    loaded = load(name)
    assert loaded.name == name
    assert (loaded.help or "").split("\n\n")[0].replace("\n", " ") == command.help
