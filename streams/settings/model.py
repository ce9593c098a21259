"""The settings, read from `COUNTERMAND_*` variables and flags when a process starts.

`docs/settings.md` is generated from this model (`streams.settings.page`).
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from streams.errors import SettingsError
from streams.settings.values import (
    Duration,
    InputSpec,
    LongDuration,
    check_public_url,
    parse_extra,
    parse_inputs,
    parse_networks,
    parse_records,
    parse_texts,
    read_secret,
    refuse_reserved,
    refuse_unknown,
)
from topology import limits, topics

PREFIX: Final = "COUNTERMAND_"
# Variables that are read elsewhere, before or without settings.
OTHER_VARIABLES: Final = frozenset({"COUNTERMAND_CACHE_DIR", "COUNTERMAND_CRASH_AT"})
LOCAL_BOOTSTRAP: Final = "localhost:9092"
_FILE: Final = "_FILE"

Inputs = Annotated[tuple[InputSpec, ...], NoDecode, BeforeValidator(parse_inputs)]
Extra = Annotated[dict[str, str], NoDecode, BeforeValidator(parse_extra)]
Records = Annotated[frozenset[str], NoDecode, BeforeValidator(parse_records)]
Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(parse_networks)
]
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_texts)]
PublicUrl = Annotated[str | None, AfterValidator(check_public_url)]
Secret = SecretStr | None


class Settings(BaseSettings):
    """Every setting of every process; build it with `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, validate_default=True
    )

    kafka_bootstrap_servers: str = Field(
        LOCAL_BOOTSTRAP, description="Kafka brokers, `host:port`, comma-separated."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How clients talk to the brokers."
    )
    kafka_sasl_mechanism: (
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None
    ) = Field(None, description="SASL mechanism; needed with a `SASL_*` protocol.")
    kafka_sasl_username: str | None = Field(None, description="SASL user name.")
    kafka_sasl_password: Secret = Field(None, description="SASL password.")
    kafka_ssl_ca: str | None = Field(
        None, description="Certificate authorities: path of a PEM file, or the PEM itself."
    )
    kafka_ssl_certificate: str | None = Field(
        None, description="Client certificate: path of a PEM file, or the PEM itself."
    )
    kafka_ssl_key: Secret = Field(
        None, description="Key of the client certificate: path of a PEM file, or the PEM itself."
    )
    kafka_ssl_key_password: Secret = Field(None, description="Password of the client key.")
    kafka_ssl_check_hostname: bool = Field(
        default=True, description="Whether a broker's certificate must name its host."
    )
    kafka_oauth_token_url: str | None = Field(
        None, description="OAUTHBEARER: token endpoint (OIDC client credentials)."
    )
    kafka_oauth_client_id: str | None = Field(None, description="OAUTHBEARER: client id.")
    kafka_oauth_client_secret: Secret = Field(None, description="OAUTHBEARER: client secret.")
    kafka_oauth_scope: str | None = Field(None, description="OAUTHBEARER: scope to ask for.")
    kafka_oauth_callback: str | None = Field(
        None,
        description="OAUTHBEARER: `module:function` that returns `(token, expiry in epoch s)`, "
        "for MSK IAM or Azure; instead of the token endpoint.",
    )
    kafka_extra: Extra = Field(
        default_factory=dict,
        repr=False,  # may hold secrets
        description="More librdkafka names, as JSON or `name=value,name=value`. "
        "Names that a setting covers, or that correctness rests on, are refused.",
    )

    topic_prefix: str = Field(
        "countermand.", description="Put before the name of each of Countermand's topics."
    )
    inputs: Inputs = Field(
        (),
        description="Topics that routers read, by full name: a JSON or YAML list, or the path "
        "of such a file. Empty: `<prefix>events` and `<prefix>cancels`.",
    )
    partitions: int = Field(
        8,
        ge=1,
        le=limits.PARTITIONS,
        description="How many partitions `topics create` makes where topics share one count, which "
        "is fixed for life. Every process takes it from the topics.",
    )
    replication_factor: int = Field(
        3, ge=1, le=99, description="Replicas of the topics that `topics create` makes."
    )
    retention_inputs: Duration = Field(
        timedelta(days=7), description="How long inputs and internal streams are kept."
    )
    retention_outputs: Duration = Field(
        timedelta(days=30),
        description="How long `cancelled`, `dead-letters`, `requests` and `request-progress` are "
        "kept; at least the longest `pending_for`.",
    )

    application_id: str = Field(
        "countermand", description="Prefix of group ids and transactional ids."
    )
    group_instance_id: str | None = Field(
        None, description="Static member name of this process, such as the pod's name."
    )
    session_timeout: Duration = Field(
        timedelta(seconds=30), description="After this silence a process loses its partitions."
    )
    state_dir: Path = Field(
        Path("~/.local/state/countermand"),
        description="Where the joiner keeps RocksDB, and the read model SQLite.",
    )
    rocksdb_memory_mib: int = Field(
        256, ge=16, description="Block cache and write buffers, MiB, of all partitions together."
    )
    skip_records: Records = Field(
        frozenset(),
        description="Records of `commands`, `forwards` and `state` that joiners leave out, "
        "`topic/partition@offset`, comma-separated: where a partition has stopped at records that "
        "aren't Countermand's.",
    )
    cancelled_event_name: str = Field(
        "function.cancelled",
        min_length=1,
        max_length=limits.EVENT_NAME_CHARS,
        description="Name of the events on `<prefix>cancelled`.",
    )

    database_url: Secret = Field(
        None,
        description="SQL database of read model, API keys and audit trail: `sqlite:////path` or "
        "`postgresql://user:password@host/name`. Unset: `countermand.db` in the state directory.",
    )
    retention_runs: Duration = Field(
        timedelta(days=30),
        ge=timedelta(minutes=1),
        description="How long the read model keeps ended runs and finished requests.",
    )
    retention_audit: LongDuration = Field(
        timedelta(days=400),
        ge=timedelta(days=1),
        description="How long the audit trail is kept; the read model removes what is older.",
    )

    retention_activity: Duration = Field(
        timedelta(days=7),
        ge=timedelta(minutes=1),
        description="How long the counts of runs per minute are kept.",
    )

    api_host: str = Field("127.0.0.1", description="Where the API is served.")
    api_port: int = Field(8420, ge=0, le=65_535, description="Port of the API.")
    api_body_limit: int = Field(
        1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest request body, bytes."
    )
    api_connections: int = Field(
        500,
        ge=1,
        le=1_000_000,
        description="Connections that the API holds at once; each takes a file descriptor.",
    )
    api_url: str | None = Field(
        None,
        description="Where the command line finds the API. Unset: on this machine, at its port.",
    )
    api_key: Secret = Field(None, description="The command line's key for the API: `cmk_…`.")

    dashboard: bool = Field(default=True, description="Whether the API serves pages at `/`.")
    dashboard_read_only: bool = Field(
        default=False, description="Whether the pages only show, and offer nothing that writes."
    )
    public_url: PublicUrl = Field(
        None,
        description="Where browsers find the pages, such as `https://countermand.example.com`; "
        "needed unless that is this machine. Writes must come from there, and `https` keeps "
        "cookies to TLS.",
    )
    proxy_peers: Networks = Field(
        (),
        description="Addresses or networks, comma-separated, of the proxy that signs users in to "
        "the pages. Empty: no proxy is trusted.",
    )
    proxy_user_header: str | None = Field(
        None, description="The header in which that proxy names the user."
    )
    proxy_role_header: str | None = Field(
        None,
        description="The header in which that proxy lists the user's roles, comma-separated; the "
        "highest of `viewer`, `operator`, `admin` counts. Unset: all are viewers.",
    )

    worker_name: str | None = Field(
        None,
        min_length=1,
        max_length=limits.WORKER_CHARS,
        description="Name by which a worker claims runs; no two processes may ever share one. "
        "Unset: made of host, process and chance.",
    )
    worker_concurrency: int = Field(
        100, ge=1, le=100_000, description="Runs that a worker holds at once."
    )
    worker_park_after: Duration = Field(
        timedelta(seconds=30),
        description="A run that sleeps longer than this leaves the worker meanwhile.",
    )
    worker_overrun: Duration = Field(
        timedelta(seconds=60),
        description="A cancelled run whose step goes on longer than this is counted and logged.",
    )
    worker_cleanup_wait: Duration = Field(
        timedelta(minutes=10),
        description="How long after its cancel a run whose function has no lease may take to stop, "
        "before `on_cancelled` is called all the same.",
    )
    worker_grace: Duration = Field(
        timedelta(seconds=30),
        description="How long a worker that is told to stop waits for steps to end.",
    )

    inngest_host: str = Field(
        "127.0.0.1", description="Where apps of Inngest's SDKs find `countermand inngest`."
    )
    inngest_port: int = Field(
        8288, ge=0, le=65_535, description="Its port; the SDKs look for 8288 in development."
    )
    inngest_signing_key: Secret = Field(
        None,
        description="Key that apps and `countermand inngest` share: `signkey-prod-` and an even "
        "number of hex digits. Unset: development; nothing is signed, and only this machine is "
        "served.",
    )
    inngest_signing_key_fallback: Secret = Field(
        None, description="A second key that is accepted while keys are changed."
    )
    inngest_origins: Texts = Field(
        (),
        description="Where apps may be called, comma-separated, such as `https://app.example.com`. "
        "In development also this machine.",
    )
    inngest_apps: Texts = Field(
        (),
        description="URLs of apps that are asked for their functions at each start, "
        "comma-separated, such as `https://app.example.com/api/inngest`.",
    )
    inngest_load_fields: Literal["warn", "refuse"] = Field(
        "warn",
        description="What becomes of `concurrency`, `throttle` and `priority`, which have no "
        "effect here.",
    )
    inngest_lease: Duration = Field(
        timedelta(seconds=60),
        description="How long a bridge that died keeps its runs; it goes into the functions.",
    )
    inngest_answer_within: Duration = Field(
        timedelta(hours=2), description="How long an app may take for one call."
    )

    web_host: str = Field("127.0.0.1", description="Where metrics and health are served.")
    web_port: int = Field(
        6066, ge=0, le=65_535, description="Port of metrics and health; 0 takes a free one."
    )
    stall_timeout: Duration = Field(
        timedelta(minutes=2), description="No progress under lag for so long: not live."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: text on a terminal, JSON lines elsewhere."
    )

    _flags: frozenset[str] = PrivateAttr(default=frozenset())

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("state_dir")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse combinations that no broker would accept; the message names the variable."""
        sasl = self.kafka_security_protocol.startswith("SASL")
        if sasl and self.kafka_sasl_mechanism is None:
            raise ValueError("kafka_sasl_mechanism is missing for a SASL security protocol")
        if self.kafka_sasl_mechanism and not sasl:
            raise ValueError("kafka_sasl_mechanism needs kafka_security_protocol SASL_*")
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            if bool(self.kafka_oauth_callback) == bool(self.kafka_oauth_token_url):
                raise ValueError("OAUTHBEARER needs kafka_oauth_token_url or kafka_oauth_callback")
        elif sasl and not (self.kafka_sasl_username and self.kafka_sasl_password):
            raise ValueError("kafka_sasl_username and kafka_sasl_password are missing")
        if self.kafka_ssl_certificate and not self.kafka_ssl_key:
            raise ValueError("kafka_ssl_key is missing for kafka_ssl_certificate")
        if bool(self.proxy_peers) != bool(self.proxy_user_header):
            raise ValueError("proxy_peers and proxy_user_header are set together, or not at all")
        refuse_reserved(self.kafka_extra)
        return self

    def topic(self, spec: topics.TopicSpec) -> str:
        """The full name of one of Countermand's topics."""
        return self.topic_prefix + spec.name

    @property
    def input_specs(self) -> tuple[InputSpec, ...]:
        """The topics that routers read besides `topology.topics.ROUTED`, and how."""
        own = (self.topic(topics.EVENTS), self.topic(topics.CANCELS))
        return self.inputs or tuple(InputSpec(topic=name) for name in own)

    @property
    def routed_topics(self) -> tuple[str, ...]:
        """Full names of all topics that routers read; the watermark waits for each of them."""
        own = (self.topic(spec) for spec in topics.ROUTED)
        return (*(spec.topic for spec in self.input_specs), *own)

    @property
    def router_group(self) -> str:
        """The routers' consumer group."""
        return f"{self.application_id}-router"

    @property
    def joiner_group(self) -> str:
        """The joiners' consumer group, and the id of the Faust app."""
        return f"{self.application_id}-joiner"

    @property
    def read_model_group(self) -> str:
        """The consumer group of the read model; its offsets are in the database."""
        return f"{self.application_id}-read-model"

    def worker_group(self, app: str) -> str:
        """The consumer group of an app's workers."""
        return f"{self.application_id}-worker-{app}"

    def cleanup_group(self, app: str) -> str:
        """The consumer group of an app's cleanups."""
        return f"{self.application_id}-cleanup-{app}"

    def transactional_id(self, partition: int) -> str:
        """The transactional id of one partition's joiner."""
        return f"{self.joiner_group}-{partition}"

    @property
    def bootstrap_given(self) -> bool:
        """Whether the user chose a broker; otherwise `up` starts one."""
        return "kafka_bootstrap_servers" in self.model_fields_set

    def source(self, field: str) -> str:
        """Where the value of a field came from: flag, environment or default."""
        if field in self._flags:
            return "flag"
        return "environment" if field in self.model_fields_set else "default"


def load(**flags: object) -> Settings:
    """Build the settings from the environment and from flags by field, which win; None: not given.

    Raises:
        SettingsError: a variable is unknown, or a value can't be used; the message names them all.
    """
    refuse_unknown(os.environ, PREFIX, _variables())
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**(_secret_files(os.environ) | given))
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    settings._flags = frozenset(given)  # noqa: SLF001  # only this function may set it
    return settings


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def is_secret(field: str) -> bool:
    """Whether a field's value must never be shown."""
    return SecretStr in getattr(Settings.model_fields[field].annotation, "__args__", ())


def _variables() -> frozenset[str]:
    names = {variable(field) for field in Settings.model_fields}
    files = {variable(field) + _FILE for field in Settings.model_fields if is_secret(field)}
    return frozenset(names | files | OTHER_VARIABLES)


def _secret_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets whose `<variable>_FILE` is set, read from these files, by field."""
    secrets = {}
    for field in filter(is_secret, Settings.model_fields):
        name = variable(field)
        path = environ.get(name + _FILE)
        if not path:
            continue
        if environ.get(name):
            raise SettingsError(f"{name} and {name}{_FILE} are both set: unset one of them")
        secrets[field] = read_secret(name + _FILE, path)
    return secrets


def _explain(error: ValidationError) -> str:
    """A line for each wrong variable, without its value, since it may be a secret."""
    lines = []
    for wrong in error.errors(include_input=False, include_url=False):
        where = variable(str(wrong["loc"][0])) + ": " if wrong["loc"] else ""
        text = wrong["msg"].removeprefix("Value error, ")
        lines.append(where + _FIELD.sub(lambda match: variable(match[0]), text))
    return "\n".join(lines)


_FIELD: Final = re.compile(rf"\b(?:{'|'.join(sorted(Settings.model_fields, reverse=True))})\b")
