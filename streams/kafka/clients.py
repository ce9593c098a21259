"""Settings as each Kafka client wants them: librdkafka, aiokafka and Faust."""

import asyncio
import contextlib
import importlib
import json
import os
import ssl
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from streams.errors import SettingsError

if TYPE_CHECKING:
    from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped]
    from faust.types.auth import CredentialsT
    from pydantic import SecretStr

    from streams.settings import Settings

Token: TypeAlias = tuple[str, float]
_PEM_MARK: Final = "-----BEGIN"
_TOKEN_TIMEOUT_S: Final = 10
_CLOCK_SLACK: Final = timedelta(seconds=60)


def librdkafka(settings: "Settings") -> dict[str, Any]:
    """What every confluent-kafka client of this process starts from."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "client.id": settings.application_id,
        # After a change of leaders an admin client's questions are refused until this refresh.
        "topic.metadata.refresh.interval.ms": 10_000,
    }
    if "SSL" in settings.kafka_security_protocol:
        config |= _librdkafka_ssl(settings)
    if settings.kafka_sasl_mechanism is not None:
        config |= _librdkafka_sasl(settings)
    return config | settings.kafka_extra


def aiokafka(settings: "Settings") -> dict[str, Any]:
    """What every aiokafka client of this process starts from."""
    config: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "client_id": settings.application_id,
        "ssl_context": ssl_context(settings),
    }
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        config |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": tokens(settings)}
    elif settings.kafka_sasl_mechanism is not None:
        config |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": _revealed(settings.kafka_sasl_password),
        }
    return config


def faust(settings: "Settings") -> dict[str, Any]:
    """The settings of a Faust app that say where its broker is: `broker`, `broker_credentials`."""
    servers = [server.strip() for server in settings.kafka_bootstrap_servers.split(",")]
    return {
        "broker": [f"aiokafka://{server}" for server in servers],
        "broker_credentials": _faust_credentials(settings),
    }


def ssl_context(settings: "Settings") -> ssl.SSLContext | None:
    """The TLS context of the settings; None where the protocol has no TLS.

    Raises:
        SettingsError: a certificate or key can't be read.
    """
    if "SSL" not in settings.kafka_security_protocol:
        return None
    authorities = settings.kafka_ssl_ca
    inline = authorities is not None and _PEM_MARK in authorities
    try:
        context = ssl.create_default_context(
            cafile=None if inline else authorities, cadata=authorities if inline else None
        )
        context.check_hostname = settings.kafka_ssl_check_hostname
        if settings.kafka_ssl_certificate is not None:
            _load_certificate(context, settings)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"COUNTERMAND_KAFKA_SSL_*: {error}") from error
    return context


def token_source(settings: "Settings") -> Callable[[], Token]:
    """What fetches an OAUTHBEARER token and its expiry: the user's callback, or OIDC."""
    if settings.kafka_oauth_callback is None:
        return lambda: _oidc_token(settings)
    module, _, name = settings.kafka_oauth_callback.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"COUNTERMAND_KAFKA_OAUTH_CALLBACK: {error}") from error
    return cast("Callable[[], Token]", found)


def tokens(settings: "Settings") -> "AbstractTokenProvider":
    """The token provider that aiokafka asks; a token is fetched off the event loop."""
    from aiokafka.abc import AbstractTokenProvider  # noqa: PLC0415  # heavy

    class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # untyped base
        """Tokens of the settings."""

        async def token(self) -> str:
            """A fresh token."""
            value, _ = await asyncio.to_thread(source)
            return value

    source = token_source(settings)
    return Tokens()


def _librdkafka_ssl(settings: "Settings") -> dict[str, Any]:
    algorithm = "https" if settings.kafka_ssl_check_hostname else "none"
    config: dict[str, Any] = {"ssl.endpoint.identification.algorithm": algorithm}
    given = {
        "ca": settings.kafka_ssl_ca,
        "certificate": settings.kafka_ssl_certificate,
        "key": _revealed(settings.kafka_ssl_key),
    }
    for name, value in given.items():
        if value is not None:
            config[f"ssl.{name}.{'pem' if _PEM_MARK in value else 'location'}"] = value
    if settings.kafka_ssl_key_password is not None:
        config["ssl.key.password"] = _revealed(settings.kafka_ssl_key_password)
    return config


def _librdkafka_sasl(settings: "Settings") -> dict[str, Any]:
    config: dict[str, Any] = {"sasl.mechanism": settings.kafka_sasl_mechanism}
    if settings.kafka_sasl_mechanism != "OAUTHBEARER":
        return config | {
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": _revealed(settings.kafka_sasl_password),
        }
    if settings.kafka_oauth_callback is not None:
        source = token_source(settings)
        return config | {"oauth_cb": lambda _config: source()}
    config |= {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": settings.kafka_oauth_token_url,
        "sasl.oauthbearer.client.id": settings.kafka_oauth_client_id,
        "sasl.oauthbearer.client.secret": _revealed(settings.kafka_oauth_client_secret),
        "sasl.oauthbearer.scope": settings.kafka_oauth_scope,
    }
    return {name: value for name, value in config.items() if value is not None}


def _faust_credentials(settings: "Settings") -> "CredentialsT | None":
    import faust as engine  # noqa: PLC0415  # heavy, and only the joiner needs it
    from faust.auth import OAuthCredentials  # noqa: PLC0415

    context = ssl_context(settings)
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=tokens(settings), ssl_context=context)
    if settings.kafka_sasl_mechanism is not None:
        return engine.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=_revealed(settings.kafka_sasl_password),
            ssl_context=context,
            mechanism=settings.kafka_sasl_mechanism,
        )
    return None if context is None else engine.SSLCredentials(context=context)


def _load_certificate(context: ssl.SSLContext, settings: "Settings") -> None:
    with (
        _as_file(settings.kafka_ssl_certificate) as certificate,
        _as_file(_revealed(settings.kafka_ssl_key)) as key,
    ):
        context.load_cert_chain(certificate or "", key, _revealed(settings.kafka_ssl_key_password))


@contextlib.contextmanager
def _as_file(value: str | None) -> Iterator[str | None]:
    """A PEM as the path that Python's TLS wants; only this user can read it, and not for long."""
    if value is None or _PEM_MARK not in value:
        yield value
        return
    descriptor, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(value)
        yield path
    finally:
        os.unlink(path)  # noqa: PTH108  # mkstemp gives a string


def _oidc_token(settings: "Settings") -> Token:
    url = settings.kafka_oauth_token_url or ""
    form = {
        "grant_type": "client_credentials",
        "client_id": settings.kafka_oauth_client_id or "",
        "client_secret": _revealed(settings.kafka_oauth_client_secret) or "",
        "scope": settings.kafka_oauth_scope or "",
    }
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode())  # noqa: S310  # the operator's URL
    with urllib.request.urlopen(request, timeout=_TOKEN_TIMEOUT_S) as answer:  # noqa: S310
        body = json.load(answer)
    lifetime = timedelta(seconds=body.get("expires_in", 300)) - _CLOCK_SLACK
    return body["access_token"], time.time() + lifetime.total_seconds()


def _revealed(secret: "SecretStr | None") -> str | None:
    return None if secret is None else secret.get_secret_value()
