"""Which functions have a lease: whoever waits for a run's stop needs to know."""

import pytest

from streams.functions.registry import Registry
from streams.sdk.worker.leases import has_lease
from topology import codec
from topology.records import Function, Trigger

LEASE_MS = 60_000


def registry(*leases: int | None, deleted: bool = False) -> Registry:
    """A function with a version for each of these leases, which may be deleted in the end."""
    found = Registry()
    bodies = [
        Function(app="shop", id="ship", triggers=(Trigger(event="placed"),), lease_ms=lease)
        for lease in leases
    ]
    if deleted:
        bodies.append(Function(app="shop", id="ship"))
    for offset, body in enumerate(bodies):
        found.apply(offset, 1, b"shop-ship/%d" % offset, codec.encode_function(body))
    return found


@pytest.mark.parametrize(
    ("found", "leased"),
    [
        (registry(LEASE_MS), True),
        (registry(LEASE_MS, deleted=True), True),
        (registry(None), False),
        (registry(None, LEASE_MS), False),
        (registry(LEASE_MS, None), False),
        (registry(), False),
    ],
    ids=["yes", "deleted since", "no", "not before", "no longer", "unknown"],
)
def test_a_function_has_a_lease_if_each_version_has(found: Registry, leased: bool) -> None:
    """A run keeps the version that it was registered with, and any of them may have runs."""
    assert has_lease(found, "shop-ship") is leased
