"""Keys, and the partitions that they decide: why a run and its cancel meet in one partition.

All keys are bytes. A digest is 16 bytes of BLAKE2b, so that no producer can craft two values with
one key.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, TypeAlias

from ulid_transform import bytes_to_ulid, ulid_to_bytes

DIGEST_BYTES: Final = 16
# A run's id has 48 bits for its received time, in ms.
TIME_END_MS: Final = 1 << 48
RUN_ID_BYTES: Final = 16

Path: TypeAlias = tuple[str | int, ...]


class MatchKeys:
    """Makes the match keys of a function's rules that compare the same paths of a cancel event.

    The router makes the key for a run and for a cancel event; where the values are equal, the keys
    are.
    """

    __slots__ = ("_seed",)

    def __init__(self, function: str, event: str, paths: Sequence[Path]) -> None:
        """The keys of `function` for cancel events named `event`, compared at their `paths`."""
        self._seed = blake2b(digest_size=DIGEST_BYTES)
        self._seed.update(_framed("match", function, event, *(repr(path) for path in paths)))

    def key(self, canonical: bytes) -> bytes:
        """The 16-byte match key for the canonical bytes of the values."""
        seed = self._seed.copy()
        seed.update(canonical)
        return seed.digest()


def scan_key(function: str, event: str) -> bytes:
    """The match key of rules without an equality: their runs wait under it, each in its home."""
    return blake2b(_framed("scan", function, event), digest_size=DIGEST_BYTES).digest()


@lru_cache(maxsize=4096)
def function_digest(function: str) -> bytes:
    """16 bytes that stand for a function in the keys of its list of runs."""
    return blake2b(_framed("function", function), digest_size=DIGEST_BYTES).digest()


def event_key(function: str, event_id: str) -> bytes:
    """The key under which a function's runs of one event id are listed, at any level."""
    seed = _event_seed(function).copy()
    seed.update(event_id.encode())
    return seed.digest()


def event_identity(source: str, name: str, event_id: str) -> bytes:
    """16 bytes that stand for an event at level 2 (rules S3 and S10); no `source` is an empty one.

    Repeats of an event have one identity, and no other event has it.
    """
    seed = _identity_seed(source, name).copy()
    seed.update(event_id.encode())
    return seed.digest()


def place_identity(topic_id: bytes, partition: int, offset: int) -> bytes:
    """The identity of an event whose id is made up from its place: it is never a repeat."""
    place = b"place" + topic_id + partition.to_bytes(4, "big") + offset.to_bytes(8, "big")
    return blake2b(place, digest_size=DIGEST_BYTES).digest()


def run_id(
    received_ms: int,
    home_key: bytes,
    event_key: bytes,
    replay_id: bytes = b"",
    identity: bytes = b"",
) -> bytes:
    """The 16 bytes of a run's ULID (rule S2).

    48 bits are the received time (ms), 16 bits come from the home key and decide the partition,
    64 bits come from function, event and replay. `replay_id` names the replay's request and the
    run that is replayed. At level 1 (no `identity`) the event's id stands for the event, from level
    2 on its identity and the home key, since both may differ where the id and the time don't.
    """
    if identity:
        unique = blake2b(event_key + home_key + identity + replay_id, digest_size=8).digest()
    elif replay_id:
        unique = blake2b(event_key + replay_id, digest_size=8).digest()
    else:
        unique = event_key[:8]
    return received_ms.to_bytes(6, "big") + home_key[:2] + unique


def undo_id(cancellation_id: bytes) -> bytes:
    """The 16 bytes of the ULID of the replay that undoes a cancellation: the same whoever asks.

    48 bits are the cancellation's time, 80 bits come from its id.
    """
    unique = blake2b(_framed("undo") + cancellation_id, digest_size=10).digest()
    return cancellation_id[:6] + unique


def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition in which listeners and cancel events of a match key meet."""
    return (key[0] << 8 | key[1]) % partitions


def partition_of_run(run_id: bytes, partitions: int) -> int:
    """The home of a run."""
    return (run_id[6] << 8 | run_id[7]) % partitions


def is_home_key(key: bytes, run_id: bytes) -> bool:
    """Whether a match key has the 16 bits that decided a run's home."""
    return key[:2] == run_id[6:8]


def received_ms(run_id: bytes) -> int:
    """When the run's trigger event was received, in ms."""
    return int.from_bytes(run_id[:6], "big")


def lowest_id(ms: int) -> str:
    """The smallest ULID of a time: ids of runs, requests and calls begin with when they came."""
    return run_id_text(min(max(ms, 0), TIME_END_MS - 1).to_bytes(6, "big") + bytes(10))


def run_id_text(run_id: bytes) -> str:
    """A run's id as text: the 26 characters of a ULID."""
    return bytes_to_ulid(run_id)


def run_id_bytes(text: str) -> bytes:
    """The 16 bytes of a ULID's text, in capital or small letters.

    Raises:
        ValueError: the text is not a ULID.
    """
    try:
        run_id = ulid_to_bytes(text)
    except ValueError:
        run_id = b""
    # The library also reads letters that only look like digits, and more than 128 bits.
    if not run_id or bytes_to_ulid(run_id) != text.upper():
        raise ValueError(f"not a run id (a ULID of 26 characters): {text[:64]!r}")
    return run_id


def _framed(*parts: str) -> bytes:
    """Parts after their lengths, so that different lists of parts give different bytes."""
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


@lru_cache(maxsize=4096)
def _identity_seed(source: str, name: str) -> blake2b:
    """The part of the hash that all events of a name and source share."""
    text = f"identity\0{len(source)}\0{len(name)}\0{source}{name}"
    return blake2b(text.encode(), digest_size=DIGEST_BYTES)


@lru_cache(maxsize=4096)
def _event_seed(function: str) -> blake2b:
    """The part of the hash that all events of a function share."""
    text = f"event\0{len(function)}\0{function}"
    return blake2b(text.encode(), digest_size=DIGEST_BYTES)
