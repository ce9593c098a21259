"""Security settings reach both clients in their own words."""

import ssl
from pathlib import Path

import faust
import pytest
from confluent_kafka import Consumer
from faust.auth import OAuthCredentials

from streams.errors import SettingsError
from streams.kafka import aiokafka_client, clients, faust_client
from streams.settings import load

PEM = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
PASSWORD = "hunter2"  # noqa: S105  # of nobody
TOKEN_URL = "https://idp/token"  # noqa: S105  # no secret
OAUTH = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"}


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(clean_environment: None) -> None:
    """What the developer's shell sets must not change a test."""


def a_token() -> tuple[str, float]:
    """What a user's callback returns."""
    return "token-of-the-callback", 0.0


def one_certificate() -> str:
    """A real certificate authority, as PEM."""
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not certificates:
        pytest.skip("no certificate authorities on this machine")
    return ssl.DER_cert_to_PEM_cert(certificates[0])


def test_plain_text_needs_no_credentials() -> None:
    """Without security there is none in any client."""
    settings = load(kafka_bootstrap_servers="a:1, b:2")
    assert aiokafka_client.ssl_context(settings) is None
    assert faust_client.faust(settings) == {
        "broker": ["aiokafka://a:1", "aiokafka://b:2"],
        "broker_credentials": None,
    }
    assert clients.librdkafka(settings)["security.protocol"] == "PLAINTEXT"


@pytest.mark.parametrize("form", ["inline", "path"])
def test_pem_is_taken_inline_and_as_a_path(tmp_path: Path, form: str) -> None:
    """Kubernetes secrets give PEM texts, other places give files."""
    authority = one_certificate()
    if form == "path":
        (tmp_path / "ca.pem").write_text(authority)
        authority = str(tmp_path / "ca.pem")
    settings = load(kafka_security_protocol="SSL", kafka_ssl_ca=authority)
    config = clients.librdkafka(settings)
    assert config["ssl.ca.pem" if form == "inline" else "ssl.ca.location"] == authority
    context = aiokafka_client.ssl_context(settings)
    assert context is not None
    assert len(context.get_ca_certs()) == 1
    credentials = faust_client.faust(settings)["broker_credentials"]
    assert isinstance(credentials, faust.SSLCredentials)
    Consumer({**config, "group.id": "g"}).close()  # librdkafka takes it


def test_a_host_name_needs_no_check_where_told_so() -> None:
    """Both clients are told."""
    settings = load(kafka_security_protocol="SSL", kafka_ssl_check_hostname=False)
    assert clients.librdkafka(settings)["ssl.endpoint.identification.algorithm"] == "none"
    context = aiokafka_client.ssl_context(settings)
    assert context is not None
    assert not context.check_hostname


def test_a_certificate_that_is_not_there_is_a_setting_error() -> None:
    """The message names the settings, not a line of code."""
    settings = load(kafka_security_protocol="SSL", kafka_ssl_ca="/nowhere/ca.pem")
    with pytest.raises(SettingsError, match="COUNTERMAND_KAFKA_SSL"):
        aiokafka_client.ssl_context(settings)


def test_scram_reaches_every_client() -> None:
    """User, password and mechanism are the same everywhere."""
    settings = load(
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="ann",
        kafka_sasl_password=PASSWORD,
    )
    config = clients.librdkafka(settings)
    assert (config["sasl.mechanism"], config["sasl.username"]) == ("SCRAM-SHA-512", "ann")
    credentials = faust_client.faust(settings)["broker_credentials"]
    assert isinstance(credentials, faust.SASLCredentials)
    assert (credentials.username, credentials.password) == ("ann", PASSWORD)
    assert credentials.mechanism.value == "SCRAM-SHA-512"
    assert aiokafka_client.aiokafka(settings)["sasl_plain_password"] == PASSWORD


def test_a_token_callback_serves_every_client() -> None:
    """MSK IAM and Azure come by a function of the user's."""
    settings = load(**OAUTH, kafka_oauth_callback=f"{__name__}:a_token")
    assert clients.librdkafka(settings)["oauth_cb"]("") == a_token()
    assert isinstance(faust_client.faust(settings)["broker_credentials"], OAuthCredentials)


def test_a_callback_that_is_not_there_is_a_setting_error() -> None:
    """A misspelt callback stops the start."""
    settings = load(**OAUTH, kafka_oauth_callback="streams.nowhere:token")
    with pytest.raises(SettingsError, match="COUNTERMAND_KAFKA_OAUTH_CALLBACK"):
        clients.librdkafka(settings)


def test_oidc_is_left_to_librdkafka() -> None:
    """The token endpoint's settings get librdkafka's names."""
    settings = load(
        **OAUTH,
        kafka_oauth_token_url=TOKEN_URL,
        kafka_oauth_client_id="id",
        kafka_oauth_client_secret=PASSWORD,
    )
    config = clients.librdkafka(settings)
    assert config["sasl.oauthbearer.method"] == "oidc"
    assert config["sasl.oauthbearer.token.endpoint.url"] == TOKEN_URL
    assert "sasl.oauthbearer.scope" not in config
