"""Reads the values of settings that are not plain: durations, inputs, options of librdkafka."""

import difflib
import json
import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from streams.durations import parse_duration
from streams.errors import SettingsError
from topology import limits

_PLACE: Final = re.compile(r"[A-Za-z0-9._-]+/\d+@\d+", re.ASCII)
_LONGEST_KEPT_MS: Final = 3_660 * limits.DAY_MS
# Options that have a setting, so that the joiner's other client gets them, too.
_COVERED: Final = {
    "bootstrap.servers": "kafka_bootstrap_servers",
    "metadata.broker.list": "kafka_bootstrap_servers",
    "security.protocol": "kafka_security_protocol",
    "sasl.mechanism": "kafka_sasl_mechanism",
    "sasl.mechanisms": "kafka_sasl_mechanism",
    "sasl.username": "kafka_sasl_username",
    "sasl.password": "kafka_sasl_password",
    "ssl.ca.location": "kafka_ssl_ca",
    "ssl.ca.pem": "kafka_ssl_ca",
    "ssl.certificate.location": "kafka_ssl_certificate",
    "ssl.certificate.pem": "kafka_ssl_certificate",
    "ssl.key.location": "kafka_ssl_key",
    "ssl.key.pem": "kafka_ssl_key",
    "ssl.key.password": "kafka_ssl_key_password",
    "ssl.endpoint.identification.algorithm": "kafka_ssl_check_hostname",
    "sasl.oauthbearer.token.endpoint.url": "kafka_oauth_token_url",
    "sasl.oauthbearer.client.id": "kafka_oauth_client_id",
    "sasl.oauthbearer.client.secret": "kafka_oauth_client_secret",
    "sasl.oauthbearer.scope": "kafka_oauth_scope",
    "group.instance.id": "group_instance_id",
    "session.timeout.ms": "session_timeout",
}
# Exactly-once depends on these options, so nobody may set them.
_FIXED: Final = frozenset({
    "acks", "request.required.acks", "enable.idempotence", "enable.gapless.guarantee",
    "transactional.id", "transaction.timeout.ms", "isolation.level", "group.id",
    "enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "partitioner",
    "enable.partition.eof", "max.in.flight", "max.in.flight.requests.per.connection",
    "message.max.bytes",
})  # fmt: skip


class NameMapping(BaseModel):
    """Where an event's name is: exactly one of the three is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    const: str | None = None
    field: str | None = None
    header: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.const, self.field, self.header)) != 1:
            raise ValueError("name needs exactly one of const, field and header")
        return self


class InputSpec(BaseModel):
    """A topic that routers read, and how its JSON becomes events (design section 2).

    Without `name` its records are events already: plain JSON or CloudEvents. Paths are dotted;
    `$` is the whole value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    name: NameMapping | None = None
    data: str = "$"
    id: str | None = None
    user: str | None = None
    source: str | None = None

    @property
    def mapped(self) -> bool:
        """Whether the topic has a mapping: its records are not events yet."""
        return self.name is not None

    @model_validator(mode="after")
    def _mapping_needs_a_name(self) -> Self:
        if self.name is None and (self.data != "$" or self.id or self.user or self.source):
            message = f"input {self.topic!r} maps data, id, user or source, so it needs a name too"
            raise ValueError(message)
        return self


def _duration(value: object) -> object:
    return timedelta(milliseconds=parse_duration(value)) if isinstance(value, str) else value


def _years(value: object) -> object:
    if not isinstance(value, str):
        return value
    return timedelta(milliseconds=parse_duration(value, _LONGEST_KEPT_MS))


Duration = Annotated[timedelta, BeforeValidator(_duration)]
# For what is kept longer than any run may wait.
LongDuration = Annotated[timedelta, BeforeValidator(_years)]


def parse_inputs(value: object) -> object:
    """The inputs of a JSON or YAML text, or of such a file; a list is taken as it is.

    Raises:
        ValueError: the value is neither, or names a topic twice.
    """
    if isinstance(value, str):
        value = _loaded(value)
    if isinstance(value, dict):
        value = value.get("inputs")
    if isinstance(value, list | tuple):
        names = [item.get("topic") for item in value if isinstance(item, dict)]
        if len(names) == len(set(names)):
            return tuple(value)
        raise ValueError("a topic is named twice")
    raise ValueError("a list of inputs is needed, or the path of a file with one")


def parse_extra(value: object) -> object:
    """Options of librdkafka by name, from JSON or `name=value,name=value`.

    Raises:
        ValueError: the value is neither.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        parsed: Any = json.loads(value)
        return {name: _plain(setting) for name, setting in parsed.items()}
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(separator for _, separator, _ in pairs):
        raise ValueError("name=value,name=value or a JSON object is needed")
    return {name.strip(): setting.strip() for name, _, setting in pairs}


def parse_records(value: object) -> object:
    """Places of records, `topic/partition@offset`, comma-separated.

    Raises:
        ValueError: one has another form.
    """
    if not isinstance(value, str):
        return value
    places = frozenset(part.strip() for part in value.split(",") if part.strip())
    for place in places:
        if not _PLACE.fullmatch(place):
            raise ValueError(f"{place[:64]!r}: topic/partition@offset is needed")
    return places


def parse_networks(value: object) -> object:
    """Addresses and networks, comma-separated.

    Raises:
        ValueError: one is neither.
    """
    if not isinstance(value, str):
        return value
    return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())


def parse_texts(value: object) -> object:
    """Texts, comma-separated; empty ones are left out."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def check_public_url(value: str | None) -> str | None:
    """The URL of a site: scheme and host, perhaps a port.

    Raises:
        ValueError: it has more than that, or less.
    """
    if value is None:
        return None
    parts = urlsplit(value)
    rest = (parts.path.strip("/"), parts.query, parts.fragment, parts.username)
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(rest):
        raise ValueError("http(s)://host or http(s)://host:port is needed, and nothing after it")
    return f"{parts.scheme}://{parts.netloc}"


def refuse_reserved(extra: dict[str, str]) -> None:
    """Refuse options that have a setting, or that exactly-once depends on.

    Raises:
        ValueError: there is such an option; the message says which setting to use.
    """
    for name in extra:
        if name in _COVERED:
            raise ValueError(f"kafka_extra: use {_COVERED[name]} instead of {name}")
        if name in _FIXED:
            raise ValueError(f"kafka_extra: {name} is fixed, since exactly-once rests on it")


def refuse_unknown(environ: Mapping[str, str], prefix: str, known: Collection[str]) -> None:
    """Refuse variables with `prefix` that nothing reads: most are misspelt.

    Raises:
        SettingsError: there are such variables; the message names similar settings.
    """
    given = sorted(name for name in environ if name.upper().startswith(prefix))
    unknown = [name for name in given if name.upper() not in known]
    if unknown:
        raise SettingsError("\n".join(_unknown(name, known) for name in unknown))


def read_secret(name: str, path: str) -> str:
    """The secret in the file that the variable `name` gives, without white space around it.

    Raises:
        SettingsError: the file can't be read.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} can't be read: {error}") from error


def _unknown(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name.upper(), known, n=1)
    hint = f"did you mean {close[0]}?" if close else "see docs/settings.md, or unset it"
    return f"{name} is not a setting: {hint}"


def _loaded(text: str) -> object:
    if not text.lstrip().startswith(("[", "{", "- ")):
        try:
            text = Path(text).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"can't read {error.filename}: {error.strerror}") from error
    try:
        return yaml.safe_load(text)  # JSON is YAML
    except yaml.YAMLError as error:
        raise ValueError(f"neither JSON nor YAML: {error}") from error


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
