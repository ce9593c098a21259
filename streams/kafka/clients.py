"""Settings as librdkafka wants them, and what the settings of all clients share."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from pydantic import SecretStr

from streams.errors import SettingsError
from streams.settings import Settings

# An OAUTHBEARER token, and when it expires (s since 1970).
Token: TypeAlias = tuple[str, float]
PEM_MARK: Final = "-----BEGIN"
# Critical errors alone: librdkafka reports a broker that is away twenty times a second.
CRITICAL: Final = 2


def librdkafka(settings: Settings, **extra: object) -> dict[str, Any]:
    """The configuration of a confluent-kafka client.

    `extra` are more options, which win over the settings: see `dotted`.

    Raises:
        SettingsError: the callback for tokens can't be imported.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "client.id": settings.application_id,
        # After a change of leaders an admin client's questions are refused until this refresh.
        "topic.metadata.refresh.interval.ms": 10_000,
    }
    if "SSL" in settings.kafka_security_protocol:
        config |= _ssl(settings)
    if settings.kafka_sasl_mechanism is not None:
        config |= _sasl(settings)
    return config | settings.kafka_extra | dotted(extra)


def dotted(options: Mapping[str, object]) -> dict[str, object]:
    """Options by librdkafka's names, given with a `_` for each `.`; None leaves an option out."""
    return {_name(key): value for key, value in options.items() if value is not None}


def _name(key: str) -> str:
    # Callbacks and `log_level` have underscores in librdkafka, too.
    own = key == "log_level" or key.endswith("_cb") or key.startswith("on_")
    return key if own else key.replace("_", ".")


def token_callback(path: str) -> Callable[[], Token]:
    """The function that a user's `module:function` names.

    Raises:
        SettingsError: it can't be imported.
    """
    module, _, name = path.partition(":")
    try:
        callback = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"COUNTERMAND_KAFKA_OAUTH_CALLBACK: {error}") from error
    return cast("Callable[[], Token]", callback)


def revealed(secret: SecretStr | None) -> str | None:
    """The text of a secret; None where it isn't set."""
    return None if secret is None else secret.get_secret_value()


def _ssl(settings: Settings) -> dict[str, Any]:
    algorithm = "https" if settings.kafka_ssl_check_hostname else "none"
    config: dict[str, Any] = {"ssl.endpoint.identification.algorithm": algorithm}
    given = {
        "ca": settings.kafka_ssl_ca,
        "certificate": settings.kafka_ssl_certificate,
        "key": revealed(settings.kafka_ssl_key),
    }
    for name, value in given.items():
        if value is not None:
            config[f"ssl.{name}.{'pem' if PEM_MARK in value else 'location'}"] = value
    if settings.kafka_ssl_key_password is not None:
        config["ssl.key.password"] = revealed(settings.kafka_ssl_key_password)
    return config


def _sasl(settings: Settings) -> dict[str, Any]:
    config: dict[str, Any] = {"sasl.mechanism": settings.kafka_sasl_mechanism}
    if settings.kafka_sasl_mechanism != "OAUTHBEARER":
        return config | {
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": revealed(settings.kafka_sasl_password),
        }
    if settings.kafka_oauth_callback is not None:
        callback = token_callback(settings.kafka_oauth_callback)
        return config | {"oauth_cb": lambda _config: callback()}
    config |= {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": settings.kafka_oauth_token_url,
        "sasl.oauthbearer.client.id": settings.kafka_oauth_client_id,
        "sasl.oauthbearer.client.secret": revealed(settings.kafka_oauth_client_secret),
        "sasl.oauthbearer.scope": settings.kafka_oauth_scope,
    }
    return {name: value for name, value in config.items() if value is not None}
