"""Which functions have a lease, by the topic `functions`."""

from collections.abc import Collection, Mapping
from typing import Any

from streams import logs
from streams.errors import CountermandError
from streams.functions.reader import RegistryReader
from streams.functions.registry import Registry

log = logs.get(__name__)


def leased_functions(config: Mapping[str, Any], topic: str, slugs: Collection[str]) -> set[str]:
    """The functions among `slugs` all of whose runs have a lease; all if the topic can't be read.

    `config` is librdkafka's, `topic` the full name of the topic `functions`.
    """
    try:
        with RegistryReader(config, topic) as reader:
            registry = reader.load()
    except CountermandError as error:
        log.warning("Functions can't be read now", error=str(error))
        return set(slugs)
    return {slug for slug in slugs if has_lease(registry, slug)}


def has_lease(registry: Registry, slug: str) -> bool:
    """Whether every version of a function that may have runs has a lease."""
    versions = [one for one in registry.versions(slug) if not one.deleted]
    return bool(versions) and all(one.compiled.function.lease_ms for one in versions)
