"""Settings as a Faust app wants them: only the joiner has one."""

from typing import Any

import faust as engine
from faust.auth import OAuthCredentials
from faust.types.auth import CredentialsT

from streams.kafka.aiokafka_client import Tokens, ssl_context
from streams.kafka.clients import revealed
from streams.settings import Settings


def faust(settings: Settings) -> dict[str, Any]:
    """The arguments of a Faust app that say where Kafka is: `broker`, `broker_credentials`.

    Raises:
        SettingsError: a certificate, a key or the callback for tokens can't be used.
    """
    servers = [server.strip() for server in settings.kafka_bootstrap_servers.split(",")]
    return {
        "broker": [f"aiokafka://{server}" for server in servers],
        "broker_credentials": _credentials(settings),
    }


def _credentials(settings: Settings) -> CredentialsT | None:
    context = ssl_context(settings)
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=Tokens(settings), ssl_context=context)
    if settings.kafka_sasl_mechanism is not None:
        return engine.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=revealed(settings.kafka_sasl_password),
            ssl_context=context,
            mechanism=settings.kafka_sasl_mechanism,
        )
    return None if context is None else engine.SSLCredentials(context=context)
