"""A broker that knows users and checks their rights, and the settings of one of its users."""

from typing import Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

ADMIN: Final = "admin"
_PASSWORD: Final = "pw"  # noqa: S105  # of brokers of tests alone
_TIMEOUT_S: Final = 60
AS_ADMIN: Final = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": ADMIN,
    "sasl.password": _PASSWORD,
}
"""What a client of librdkafka needs."""


def properties(*names: str, allow_all: bool) -> dict[str, str]:
    """The broker's properties: an admin who may do anything, and users.

    With `allow_all` everybody has every right to what no rule speaks of.
    """
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    users = "".join(f' user_{name}="{_PASSWORD}"' for name in (ADMIN, *names))
    return {
        "listener.security.protocol.map": "BROKER:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.broker.plain.sasl.jaas.config": (
            f'{login} username="{ADMIN}" password="{_PASSWORD}"{users};'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The broker speaks to its own controller without a name.
        "super.users": f"User:{ADMIN};User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": str(allow_all).lower(),
    }


def security(user: str) -> dict[str, str]:
    """The settings of a user."""
    return {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_sasl_username": user,
        "kafka_sasl_password": _PASSWORD,
    }


def give(  # noqa: PLR0913  # each is a part of a rule
    admin: AdminClient,
    user: str,
    operation: AclOperation,
    name: str,
    *,
    kind: ResourceType = ResourceType.TOPIC,
    pattern: ResourcePatternType = ResourcePatternType.LITERAL,
) -> None:
    """Let a user do something with what has this name."""
    who = (f"User:{user}", "*", operation, AclPermissionType.ALLOW)
    binding = AclBinding(kind, name, pattern, *who)
    admin.create_acls([binding])[binding].result(_TIMEOUT_S)
