"""What a worker writes, where no broker takes it."""

import asyncio
import threading
from contextlib import suppress

from streams.broker.ports import free_port
from streams.sdk.worker.journal import Journal, Outgoing
from streams.settings import load


def test_a_journal_without_a_broker_ends_when_it_is_told_to() -> None:
    """What it could not write is left to the leases; the worker must not hang on it."""
    assert asyncio.run(_write_and_stop()) == (False, False)


async def _write_and_stop() -> tuple[bool, bool]:
    """Whether the journal still runs, and whether it says that it has written."""
    settings = load(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    journal, stop = (
        Journal(settings, "worker", asyncio.get_running_loop(), ["run-updates"]),
        threading.Event(),
    )
    writing = asyncio.ensure_future(journal.write([Outgoing("run-updates", b"run", b"{}")]))
    await asyncio.sleep(0)
    thread = threading.Thread(target=journal.run, args=(stop,), daemon=True)
    thread.start()
    stop.set()
    await asyncio.to_thread(thread.join, 60)
    found = thread.is_alive(), writing.done()
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    return found
