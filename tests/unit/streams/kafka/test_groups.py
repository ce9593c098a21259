"""What brokers say of groups while they change, and when they refuse."""

from concurrent.futures import Future
from typing import Any, NamedTuple, cast

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from streams.errors import KafkaRefusedError
from streams.kafka.groups import group_names


class Listed(NamedTuple):
    """A group's entry in a list."""

    group_id: str


class Listing(NamedTuple):
    """An answer: what some brokers list, and the errors of others."""

    valid: list[Listed]
    errors: list[KafkaError]


class Answers:
    """An admin client that gets an error of each of these codes in turn, and then the list."""

    def __init__(self, *codes: int) -> None:
        self.left = list(codes)

    def list_consumer_groups(self, request_timeout: float) -> Future[Any]:
        """What the brokers would list within a time."""
        assert request_timeout > 0
        errors = [KafkaError(self.left.pop(0))] if self.left else []
        answer: Future[Any] = Future()
        answer.set_result(Listing([Listed("b"), Listed("a")], errors))
        return answer


def test_a_coordinator_that_is_loading_is_asked_again() -> None:
    """Half a list would say that processes are gone."""
    answers = Answers(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR)
    assert group_names(cast("AdminClient", answers)) == ["a", "b"]
    assert answers.left == []


def test_a_refusal_is_told() -> None:
    """It is an answer, whoever asks again."""
    answers = Answers(KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.NOT_COORDINATOR)
    with pytest.raises(KafkaRefusedError):
        group_names(cast("AdminClient", answers))
    assert len(answers.left) == 1
