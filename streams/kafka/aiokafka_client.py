"""Settings as aiokafka wants them."""

import asyncio
import contextlib
import json
import os
import ssl
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped]

from streams.errors import SettingsError
from streams.kafka.clients import PEM_MARK, Token, revealed, token_callback
from streams.settings import Settings

_TOKEN_TIMEOUT_S: Final = 10
# A token is renewed so long before it expires, since clocks differ.
_CLOCK_SLACK: Final = timedelta(seconds=60)


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # untyped base
    """What aiokafka asks for OAUTHBEARER tokens; they are fetched off the event loop."""

    def __init__(self, settings: Settings) -> None:
        """Ask the callback of the settings, or else their token endpoint.

        Raises:
            SettingsError: the callback can't be imported.
        """
        path = settings.kafka_oauth_callback
        self._fetch: Callable[[], Token] = (
            (lambda: _oidc_token(settings)) if path is None else token_callback(path)
        )

    async def token(self) -> str:
        """A fresh token."""
        value, _ = await asyncio.to_thread(self._fetch)
        return value


def aiokafka(settings: Settings) -> dict[str, Any]:
    """The arguments that every aiokafka client of this process starts from.

    Raises:
        SettingsError: a certificate, a key or the callback for tokens can't be used.
    """
    config: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "client_id": settings.application_id,
        "ssl_context": ssl_context(settings),
    }
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        config |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Tokens(settings)}
    elif settings.kafka_sasl_mechanism is not None:
        config |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": revealed(settings.kafka_sasl_password),
        }
    return config


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context of the settings; None where the protocol has no TLS.

    Raises:
        SettingsError: a certificate or key can't be read.
    """
    if "SSL" not in settings.kafka_security_protocol:
        return None
    authorities = settings.kafka_ssl_ca
    inline = authorities is not None and PEM_MARK in authorities
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


def _load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    with (
        _as_file(settings.kafka_ssl_certificate) as certificate,
        _as_file(revealed(settings.kafka_ssl_key)) as key,
    ):
        context.load_cert_chain(certificate or "", key, revealed(settings.kafka_ssl_key_password))


@contextlib.contextmanager
def _as_file(value: str | None) -> Iterator[str | None]:
    """A PEM as the path that Python's TLS wants; only this user can read it, and not for long."""
    if value is None or PEM_MARK not in value:
        yield value
        return
    descriptor, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(value)
        yield path
    finally:
        Path(path).unlink()


def _oidc_token(settings: Settings) -> Token:
    url = settings.kafka_oauth_token_url or ""
    form = {
        "grant_type": "client_credentials",
        "client_id": settings.kafka_oauth_client_id or "",
        "client_secret": revealed(settings.kafka_oauth_client_secret) or "",
        "scope": settings.kafka_oauth_scope or "",
    }
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(url, body, _TOKEN_TIMEOUT_S) as response:  # noqa: S310  # the operator's URL
        answer = json.load(response)
    lifetime = timedelta(seconds=answer.get("expires_in", 300)) - _CLOCK_SLACK
    return answer["access_token"], time.time() + lifetime.total_seconds()
