"""Sends a record with a header whose name is not UTF-8, which no client does by itself.

`python -m tests.support.bad_header SERVERS TOPIC`; `send` runs that in a process of its own.
"""

import asyncio
import os
import subprocess
import sys

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]

VALUE = b'{"name":"placed"}'


class _Bad(str):
    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"bad\xff"


def send(servers: str, topic: str) -> None:
    """Send one such record, with `VALUE`."""
    subprocess.run(
        [sys.executable, "-m", "tests.support.bad_header", servers, topic],
        # The compiled encoder wants a plain str.
        env=os.environ | {"AIOKAFKA_NO_EXTENSIONS": "1"},
        check=True,
    )


async def _main(servers: str, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    await producer.send_and_wait(topic, VALUE, b"key", headers=[(_Bad("x"), b"1")])
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
