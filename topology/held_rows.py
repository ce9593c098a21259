"""Rows that the joiner holds until the watermark has passed a time, and their keys.

What they hold may meet a run that comes late, or is a note of what was done already.
"""

from hashlib import blake2b
from typing import Final, TypeAlias

from msgspec import Struct

from topology import limits
from topology.keys import function_digest, received_ms
from topology.records import CancelEvent, FirstOccurrence, Position, Update
from topology.tables import position_key

_UNTIL: Final = slice(17, 25)  # of a held cancel or update, a refused and a first cancel


class HeldCancel(Struct, array_like=True, frozen=True, tag="cancel"):
    """A cancel event that waits for late runs until `hold_ms` after its received time."""

    cancel: CancelEvent
    hold_ms: int


class HeldMatch(Struct, array_like=True, frozen=True, tag="match"):
    """A cancel event that found listeners of a run, of these rules, before the run registered."""

    cancel: CancelEvent
    rules: tuple[int, ...]


class HeldUnlisten(Struct, array_like=True, frozen=True, tag="unlisten"):
    """A run that ended or was refused: listeners of it that come later are ignored."""

    keys: tuple[bytes, ...]


class HeldUpdate(Struct, array_like=True, frozen=True, tag="update"):
    """A worker's update of an event whose run isn't registered yet, `received` at a time (ms)."""

    received: int
    update: Update


class FirstCancel(Struct, array_like=True, frozen=True, tag="first"):
    """The first occurrences of a cancel event, as long as there may be a repeat of it (S36).

    Each is for another `dedupe` of the rules behind the match key.
    """

    firsts: tuple[FirstOccurrence, ...]


HeldRow: TypeAlias = HeldCancel | HeldMatch | HeldUnlisten | HeldUpdate | FirstCancel


def held_cancel_key(match_key: bytes, until: int, cancel: CancelEvent) -> bytes:
    """The key of a cancel event that is held until the watermark has passed `until` (ms)."""
    return b"h" + match_key + until.to_bytes(8, "big") + position_key(cancel.at)


def held_match_key(run_id: bytes, cancel: CancelEvent) -> bytes:
    """The key of a match that is held until its run is registered.

    One event may be a repeat under one match key, and none under another.
    """
    firsts = [
        first.dedupe_ms.to_bytes(8, "big") + position_key(first.position) for first in cancel.firsts
    ]
    return b"m" + run_id + position_key(cancel.at) + b"".join(firsts)


def held_unlisten_key(run_id: bytes) -> bytes:
    """The key of an unlisten that is held as long as the run's listeners may come."""
    return b"u" + run_id


def held_update_key(under: bytes, until: int, position: Position) -> bytes:
    """The key of an update that is held until the watermark has passed `until` (ms).

    It lies under its event's key, or the id of a run that has yet to meet other things first.
    """
    return b"p" + under + until.to_bytes(8, "big") + position_key(position)


def refused_cancel_key(slug: str, cancel: CancelEvent) -> bytes:
    """The key of the note, kept for a day, that a cancel event is a dead letter of a function."""
    until = cancel.received + limits.DEDUPE_MS
    digest = blake2b(function_digest(slug) + position_key(cancel.at), digest_size=16).digest()
    return b"c" + digest + until.to_bytes(8, "big")


def first_cancel_prefix(match_key: bytes, identity: bytes) -> bytes:
    """What the keys of the first occurrences of a cancel event under a match key begin with."""
    return b"o" + blake2b(match_key + identity, digest_size=16).digest()


def first_cancel_key(prefix: bytes, row: FirstCancel) -> bytes:
    """The key of first occurrences.

    They are kept for a day longer than there are repeats: one may wait in a partition that is down.
    """
    until = max(first.received + first.dedupe_ms for first in row.firsts) + limits.DAY_MS
    return prefix + until.to_bytes(8, "big")


def held_until(key: bytes) -> int:
    """The time (ms) after which a held row is removed, once the watermark has passed it."""
    if key[:1] in (b"h", b"p", b"c", b"o"):
        return int.from_bytes(key[_UNTIL], "big")
    assert key[:1] in (b"m", b"u"), "only held rows wait for the watermark"
    return received_ms(key[1:])
