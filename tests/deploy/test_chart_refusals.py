"""What can't work is refused before anything is installed, and the message says where."""

from typing import Any

import pytest

from tests.deploy import helm
from tests.deploy.helm import RefusedError

pytestmark = [pytest.mark.network, pytest.mark.timeout(1800)]
KAFKA = {"bootstrapServers": "kafka:9092"}
SCRAM = {"mechanism": "SCRAM-SHA-512", "username": "u", "existingSecret": "s"}
SECURED = KAFKA | {"securityProtocol": "SASL_SSL"}
POSTGRESQL = {"database": {"existingSecret": "db"}}
WORKER = {"app": "films:app"}
INNGEST = {
    "enabled": True,
    "origins": ["https://app.example.com"],
    "signingKey": {"existingSecret": "inngest"},
}
USERS = {"cluster": "events", "users": {"enabled": True}}
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no brokers": ({"kafka": {}}, ["kafka.bootstrapServers is missing"]),
    "brokers without a port": (
        {"kafka": {"bootstrapServers": "kafka"}},
        ["/kafka/bootstrapServers"],
    ),
    "more joiners than partitions": (
        {"joiner": {"replicas": 13}},
        ["joiner.replicas is 13", "topics.partitions is 12"],
    ),
    "more workers than partitions": (
        {"topics": {"partitions": 2}, "workers": {"films": WORKER | {"replicas": 3}}},
        ["workers.films.replicas is 3", "topics.partitions is 2"],
    ),
    "scaling above the partitions": (
        {"joiner": {"autoscaling": {"enabled": True, "maxReplicas": 13}}},
        ["joiner.autoscaling.maxReplicas is 13", "topics.partitions is 12"],
    ),
    "scaling workers above the partitions": (
        {
            "workers": {
                "films": WORKER
                | {"appId": "f", "autoscaling": {"enabled": True, "maxReplicas": 13}}
            }
        },
        ["workers.films.autoscaling.maxReplicas is 13"],
    ),
    "scaling the wrong way round": (
        {"router": {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 4}}},
        ["router.autoscaling.minReplicas is more"],
    ),
    "no router while nothing comes": (  # without one no time passes, and nothing times out
        {"router": {"autoscaling": {"enabled": True, "minReplicas": 0}}},
        ["/router/autoscaling/minReplicas"],
    ),
    "scaling by a function that KEDA hasn't": (
        {
            "kafka": SECURED
            | {"sasl": {"mechanism": "OAUTHBEARER"}, "oauth": {"callback": "msk:token"}},
            "router": {"autoscaling": {"enabled": True}},
        },
        ["router.autoscaling needs kafka.oauth.tokenUrl"],
    ),
    "scaling a worker by nothing": (
        {"workers": {"films": WORKER | {"autoscaling": {"enabled": True}}}},
        ["workers.films.appId is missing"],
    ),
    "several API pods on SQLite": ({"api": {"replicas": 2}}, ["/database/existingSecret"]),
    "API scaled on SQLite": (
        {"api": {"autoscaling": {"enabled": True}}},
        ["/database/existingSecret"],
    ),
    "SASL without a mechanism": ({"kafka": SECURED}, ["/kafka/sasl/mechanism"]),
    "a mechanism without SASL": ({"kafka": KAFKA | {"sasl": SCRAM}}, ["/kafka/securityProtocol"]),
    "a user without a name": (
        {"kafka": SECURED | {"sasl": SCRAM | {"username": ""}}},
        ["/kafka/sasl/username"],
    ),
    "a user without a secret": (
        {"kafka": SECURED | {"sasl": SCRAM | {"existingSecret": ""}}},
        ["/kafka/sasl/existingSecret"],
    ),
    "OAuth without an end point": (
        {"kafka": SECURED | {"sasl": {"mechanism": "OAUTHBEARER"}, "oauth": {"clientId": "c"}}},
        ["/kafka/oauth/tokenUrl", "/kafka/oauth/existingSecret"],
    ),
    "OAuth both ways": (
        {
            "kafka": SECURED
            | {
                "sasl": {"mechanism": "OAUTHBEARER"},
                "oauth": {"tokenUrl": "https://id", "callback": "msk:token"},
            }
        },
        ["/kafka/oauth/tokenUrl"],
    ),
    "an ingress without a host": (
        {"api": {"ingress": {"enabled": True}}},
        ["/api/ingress/host"],
    ),
    "a route without gateway and URL": (
        {"api": {"route": {"enabled": True}}},
        ["/api/route/parentRefs", "/api/publicUrl"],
    ),
    "topics of no Strimzi cluster": (
        {"strimzi": {"topics": {"enabled": True}}},
        ["/strimzi/cluster"],
    ),
    "users that exist too late": (
        {"kafka": SECURED | {"sasl": {"mechanism": "SCRAM-SHA-512"}}, "strimzi": USERS},
        ["strimzi.users.enabled needs strimzi.topics.enabled"],
    ),
    "Strimzi's passwords without SASL": (
        {"strimzi": USERS | {"topics": {"enabled": True}}},
        ["set kafka.securityProtocol to SASL_SSL"],
    ),
    "Strimzi's certificates without TLS": (
        {
            "strimzi": {
                "cluster": "events",
                "topics": {"enabled": True},
                "users": {"enabled": True, "authentication": "tls"},
            }
        },
        ["set kafka.securityProtocol to SSL"],
    ),
    "no time for a worker to end": (
        {"workers": {"films": WORKER | {"settings": {"COUNTERMAND_WORKER_GRACE": "5m"}}}},
        ["workers.films.terminationGracePeriodSeconds is 60", "allow it 320 s"],
    ),
    "more bridges than partitions": (
        POSTGRESQL | {"inngest": INNGEST | {"replicas": 13}},
        ["inngest.replicas is 13", "topics.partitions is 12"],
    ),
    "apps without PostgreSQL": ({"inngest": INNGEST}, ["inngest.enabled needs database"]),
    "apps without a signing key": (
        POSTGRESQL | {"inngest": INNGEST | {"signingKey": {}}},
        ["inngest.signingKey.existingSecret is missing"],
    ),
    "apps that are nowhere": (
        POSTGRESQL | {"inngest": INNGEST | {"origins": []}},
        ["inngest.origins is missing"],
    ),
    "an origin with a path": (
        POSTGRESQL | {"inngest": INNGEST | {"origins": ["https://app.example.com/api"]}},
        ["/inngest/origins/0"],
    ),
    "apps whose events nobody reads": (
        POSTGRESQL | {"inngest": INNGEST, "inputs": [{"topic": "shop.orders"}]},
        ["inputs lacks {topic: countermand.events}"],
    ),
    "an ingress for apps without a host": (
        POSTGRESQL | {"inngest": INNGEST | {"ingress": {"enabled": True}}},
        ["inngest.ingress.host is missing"],
    ),
    "no time for a bridge to end": (
        POSTGRESQL | {"inngest": INNGEST | {"settings": {"COUNTERMAND_WORKER_GRACE": "5m"}}},
        ["inngest.terminationGracePeriodSeconds is 60", "allow it 320 s"],
    ),
    "a worker of nothing": ({"workers": {"films": {"replicas": 1}}}, ["/workers/films", "app"]),
    "an image that may be any": ({"image": {"tag": "latest"}}, ["/image/tag"]),
    "no limit of memory": (
        {"joiner": {"resources": {"limits": {"memory": None}}}},
        ["/joiner/resources/limits", "memory"],
    ),
    "an unknown value": ({"joiners": {"replicas": 2}}, ["joiners"]),
    "an unknown setting": (
        {"settings": {"COUNTERMAND_RETENTION_RUN": "7d"}},
        ["invalid propertyName 'COUNTERMAND_RETENTION_RUN'"],
    ),
    "a setting that a value is for": (
        {"settings": {"COUNTERMAND_KAFKA_SASL_PASSWORD": "secret"}},
        ["invalid propertyName 'COUNTERMAND_KAFKA_SASL_PASSWORD'"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused(name: str) -> None:
    """The message names the value, and most say what to do."""
    values, said = REFUSED[name]
    with pytest.raises(RefusedError) as refused:
        helm.rendered({"kafka": KAFKA} | values)
    assert [words for words in said if words not in str(refused.value)] == []


@pytest.mark.parametrize(
    "values",
    [
        POSTGRESQL | {"api": {"replicas": 2}},
        {"joiner": {"replicas": 12}},
        POSTGRESQL | {"inngest": INNGEST | {"replicas": 12}},
        {"kafka": SECURED | {"sasl": SCRAM}},
        {
            "workers": {
                "films": WORKER
                | {
                    "terminationGracePeriodSeconds": 320,
                    "settings": {"COUNTERMAND_WORKER_GRACE": "5m"},
                }
            }
        },
    ],
    ids=["PostgreSQL", "as many as partitions", "apps", "SASL", "time to end"],
)
def test_what_can_work_is_not(values: dict[str, Any]) -> None:
    """The values next to refused ones are taken."""
    assert helm.objects(helm.rendered({"kafka": KAFKA} | values))
