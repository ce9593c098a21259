"""The guard that runs around every test finds what a test has left behind."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rocksdict import Rdict

from tests.support.leftovers import leftovers_since, restore_environment, take_snapshot

SHORT = 0.01


def test_nothing_left_is_no_finding() -> None:
    """A test that cleans up is not reported."""
    before = take_snapshot()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    assert leftovers_since(before) == []


def test_a_thread_is_found() -> None:
    """A thread that still runs after the test is named."""
    before = take_snapshot()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    leftovers = leftovers_since(before, SHORT)
    end.set()
    thread.join()
    assert leftovers == ["thread forgotten"]


def test_a_thread_of_a_wider_scope_is_not_counted() -> None:
    """A thread that ran before the test belongs to a fixture of a wider scope."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    before = take_snapshot()
    leftovers = leftovers_since(before, SHORT)
    end.set()
    thread.join()
    assert leftovers == []


def test_a_task_is_found() -> None:
    """A task that is neither awaited nor cancelled is named, even if its loop is not running."""
    before = take_snapshot()
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.Event().wait(), name="forgotten")
    leftovers = leftovers_since(before, SHORT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    assert [finding for finding in leftovers if "forgotten" in finding] == leftovers != []


def test_a_child_process_is_found() -> None:
    """A process that outlives its test is named with its command."""
    before = take_snapshot()
    child = subprocess.Popen(
        [sys.executable, "-c", "input('forgotten')"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    leftovers = leftovers_since(before, SHORT)
    child.kill()
    child.communicate()
    assert len(leftovers) == 1
    assert "forgotten" in leftovers[0]


def test_a_changed_environment_is_found_and_put_back() -> None:
    """Changed, new and removed variables are named, and the next test sees the old values."""
    old_path = os.environ["PATH"]
    before = take_snapshot()
    os.environ["PATH"] = f"{old_path}:/nowhere"
    os.environ["COUNTERMAND_FORGOTTEN"] = "1"
    leftovers = leftovers_since(before, SHORT)
    restore_environment(before)
    assert leftovers == [
        "environment variable COUNTERMAND_FORGOTTEN",
        "environment variable PATH",
    ]
    assert os.environ["PATH"] == old_path
    assert "COUNTERMAND_FORGOTTEN" not in os.environ


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are read from /proc")
def test_an_open_store_is_found(tmp_path: Path) -> None:
    """A RocksDB that is not closed is named by its lock file."""
    before = take_snapshot()
    store = Rdict(str(tmp_path / "rows"))
    leftovers = leftovers_since(before, SHORT)
    store.close()
    assert [finding for finding in leftovers if finding.startswith("open store")] == [
        f"open store {tmp_path / 'rows' / 'LOCK'}"
    ]
    assert leftovers_since(before, SHORT) == []
