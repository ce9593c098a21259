"""Settings: read once from the environment and flags, strict, and silent about secrets."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.errors import SettingsError
from streams.kafka import clients
from streams.settings import Settings, load
from streams.settings import page as settings_page
from topology import topics

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(clean_environment: None) -> None:
    """What the developer's shell sets must not change a test."""


def test_defaults_need_no_environment() -> None:
    """A fresh machine gets the documented defaults."""
    settings = load()
    assert settings.kafka_bootstrap_servers == "localhost:9092"
    assert not settings.bootstrap_given
    assert settings.topic(topics.EVENTS) == "countermand.events"
    assert [spec.topic for spec in settings.input_specs] == [
        "countermand.events",
        "countermand.cancels",
    ]
    assert settings.transactional_id(3) == "countermand-joiner-3"


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag is nearer to the user than a variable, and the source says which it was."""
    monkeypatch.setenv("COUNTERMAND_PARTITIONS", "3")
    monkeypatch.setenv("COUNTERMAND_TOPIC_PREFIX", "a.")
    settings = load(partitions=5, topic_prefix=None)
    assert (settings.partitions, settings.source("partitions")) == (5, "flag")
    assert (settings.topic_prefix, settings.source("topic_prefix")) == ("a.", "environment")
    assert settings.source("web_port") == "default"


def test_unknown_variable_is_refused_with_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable would silently do nothing."""
    monkeypatch.setenv("COUNTERMAND_KAFKA_BOOTSTRAP_SERVER", "k:1")
    with pytest.raises(SettingsError, match="did you mean COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS"):
        load()


def test_every_wrong_value_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run shows all that is wrong."""
    monkeypatch.setenv("COUNTERMAND_PARTITIONS", "0")
    monkeypatch.setenv("COUNTERMAND_SESSION_TIMEOUT", "soon")
    with pytest.raises(SettingsError) as refused:
        load()
    assert "COUNTERMAND_PARTITIONS: " in str(refused.value)
    assert "COUNTERMAND_SESSION_TIMEOUT: not a duration" in str(refused.value)


def test_settings_are_frozen() -> None:
    """Nothing changes them after the start."""
    with pytest.raises(ValidationError):
        load().partitions = 2


def test_secrets_are_masked_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr, nor the shown values, nor an error gives a secret away."""
    monkeypatch.setenv("COUNTERMAND_KAFKA_SECURITY_PROTOCOL", "sasl_ssl")
    monkeypatch.setenv("COUNTERMAND_KAFKA_SASL_MECHANISM", "plain")
    monkeypatch.setenv("COUNTERMAND_KAFKA_SASL_USERNAME", "ann")
    monkeypatch.setenv("COUNTERMAND_KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("COUNTERMAND_KAFKA_EXTRA", "ssl.keystore.password=hunter3,linger.ms=7")
    settings = load()
    everything = repr(settings) + str(settings) + str(settings_page.effective(settings))
    assert "hunter" not in everything
    assert "linger.ms=7" in everything
    config = clients.librdkafka(settings, group_id="g")
    assert config["sasl.password"] == "hunter2"
    assert config["group.id"] == "g"
    monkeypatch.setenv("COUNTERMAND_KAFKA_SASL_MECHANISM", "hunter4")
    with pytest.raises(SettingsError) as refused:
        load()
    assert "hunter" not in str(refused.value)


def test_a_secret_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Containers mount secrets as files; their last line break is no part of them."""
    (tmp_path / "secret").write_text("hunter2\n")
    monkeypatch.setenv("COUNTERMAND_KAFKA_SASL_PASSWORD_FILE", str(tmp_path / "secret"))
    password = load().kafka_sasl_password
    assert password is not None
    assert password.get_secret_value() == "hunter2"
    monkeypatch.setenv("COUNTERMAND_KAFKA_SASL_PASSWORD", "other")
    with pytest.raises(SettingsError, match="are both set"):
        load()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "COUNTERMAND_KAFKA_SASL_MECHANISM is missing"),
        ({"SASL_MECHANISM": "PLAIN"}, "needs COUNTERMAND_KAFKA_SECURITY_PROTOCOL"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"},
            "COUNTERMAND_KAFKA_OAUTH_TOKEN_URL or COUNTERMAND_KAFKA_OAUTH_CALLBACK",
        ),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "SCRAM-SHA-512"},
            "COUNTERMAND_KAFKA_SASL_PASSWORD",
        ),
        ({"SSL_CERTIFICATE": "cert.pem"}, "COUNTERMAND_KAFKA_SSL_KEY is missing"),
        ({"EXTRA": "sasl.password=x"}, "use COUNTERMAND_KAFKA_SASL_PASSWORD"),
        ({"EXTRA": '{"enable.idempotence": false}'}, "exactly-once rests on it"),
        ({"EXTRA": "linger"}, "name=value"),
    ],
)
def test_combinations_that_no_broker_accepts_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    """A contradiction stops the start with the variable to set."""
    for name, value in variables.items():
        monkeypatch.setenv(f"COUNTERMAND_KAFKA_{name}", value)
    with pytest.raises(SettingsError, match=message):
        load()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("90m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("250ms", timedelta(milliseconds=250)),
    ],
)
def test_durations_are_in_the_users_units(text: str, expected: timedelta) -> None:
    """Durations are written as in functions."""
    assert load(session_timeout=text).session_timeout == expected


@pytest.mark.parametrize("form", ["inline", "file", "under a key"])
def test_inputs_come_inline_or_from_a_file(tmp_path: Path, form: str) -> None:
    """A user's own topics are named in full, with a mapping."""
    text = "[{topic: orders, name: {field: type}, data: payload, id: key}, {topic: a.cancels}]"
    if form == "under a key":
        text = f"inputs: {text}"
    if form != "inline":
        (tmp_path / "inputs.yaml").write_text(text)
        text = str(tmp_path / "inputs.yaml")
    orders, cancels = load(inputs=text).input_specs
    assert (orders.topic, orders.data, orders.id, orders.mapped) == (
        "orders",
        "payload",
        "key",
        True,
    )
    assert orders.name is not None
    assert orders.name.field == "type"
    assert (cancels.topic, cancels.mapped) == ("a.cancels", False)


@pytest.mark.parametrize(
    "text",
    [
        "[{topic: a}, {topic: a}]",
        "[{topic: a, name: {const: x, field: y}}]",
        "[{topic: a, data: payload}]",
        "[{topic: a, nmae: {const: x}}]",
        "/nowhere/inputs.yaml",
    ],
)
def test_wrong_inputs_are_refused(text: str) -> None:
    """A mapping that can't be meant stops the start."""
    with pytest.raises(SettingsError, match="COUNTERMAND_INPUTS"):
        load(inputs=text)


def test_every_setting_is_documented() -> None:
    """A setting without a description would be an empty row of the page."""
    assert all(field.description for field in Settings.model_fields.values())


def test_the_page_of_settings_is_current() -> None:
    """Whoever adds a setting runs: python -m streams.settings.page > docs/settings.md."""
    assert PAGE.read_text(encoding="utf-8") == settings_page.page()
