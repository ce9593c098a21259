"""Dead letters: the record as it was, where it lay, and why it was refused."""

from streams.kafka.dead_letters import DeadLetter, Origin, dead_letter
from streams.kafka.headers import Headers
from topology import limits


def letter(
    value: bytes | None = b"value",
    key: bytes | None = b"k",
    headers: Headers | None = None,
    message: str = "why",
) -> DeadLetter:
    """The dead letter of a record at events/2/17."""
    origin = Origin("events", 2, 17, key, value, headers)
    return dead_letter(origin, stage="router", kind="not_json", message=message)


def errors(found: DeadLetter) -> dict[str, bytes | None]:
    """Its headers about the error, without their prefix."""
    prefix = "countermand.error."
    return {
        name.removeprefix(prefix): value for name, value in found.headers if name.startswith(prefix)
    }


def test_dead_letter_has_the_record_and_the_reason() -> None:
    """Key, value and headers are those of the record; place and reason come as headers."""
    found = letter(headers=[("a", b"1"), ("a", None)])
    assert (found.key, found.value) == (b"k", b"value")
    assert found.headers[:2] == [("a", b"1"), ("a", None)]
    assert errors(found) == {
        "topic": b"events", "partition": b"2", "offset": b"17", "stage": b"router",
        "class": b"not_json", "message": b"why",
    }  # fmt: skip


def test_dead_letter_of_a_dead_letter_has_one_reason() -> None:
    """What was redriven and refused again shows the last place and reason only."""
    again = letter(headers=letter(message="first").headers, message="second")
    assert [name for name, _ in again.headers if name.endswith("message")] == [
        "countermand.error.message"
    ]
    assert errors(again)["message"] == b"second"


def test_oversized_dead_letter_keeps_headers_and_place() -> None:
    """A value that no topic takes is left out."""
    found = letter(b"v" * limits.MESSAGE_BYTES, headers=[("a", b"1")])
    assert (found.key, found.value) == (b"k", None)
    assert ("a", b"1") in found.headers
    assert errors(found)["offset"] == b"17"


def test_oversized_headers_or_key_are_left_out_too() -> None:
    """In the end the place alone is kept: it always fits."""
    huge = b"h" * limits.MESSAGE_BYTES
    for found in (letter(headers=[("a", huge)]), letter(key=huge)):
        assert (found.key, found.value) == (None, None)
        assert len(found.headers) == len(errors(found))


def test_long_message_is_cut() -> None:
    """However long a reason, the letter fits; text that is no UTF-8 doesn't hinder it."""
    found = letter(message="\ud800" + "ä" * 100_000)
    message = errors(found)["message"]
    assert message is not None
    assert len(message) < 4_096
