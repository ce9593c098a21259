"""CPU time is told by process and by kind of thread."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import cpu, named

SPENT = {
    "joiner": {"partitions": 20.04, "main": 3.0, "forwards": 0.01},
    "broker": {"main": 12.0},
}

TALKING = """
import pathlib, sys, threading

def talk():
    name = pathlib.Path("/proc/thread-self/comm").read_text().strip()
    print(name, sys.getprofile(), *sys.argv[1:])

thread = threading.Thread(target=talk, name="partition-7")
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("partition-3", "partitions"),
        ("rdk:broker1", "librdkafka"),
        ("rocksdb:low", "RocksDB"),
        ("C2 CompilerThre", "compilers"),
        ("data-plane-kafk", "main"),
    ],
)
def test_a_thread_is_of_the_kind_that_its_name_says(name: str, kind: str) -> None:
    """Names as the system has them, of at most 15 characters."""
    assert cpu.kind_of(name) == kind


def test_what_a_process_spends_is_told_per_event() -> None:
    """A tick or more of this process shows, and the machine did no less."""
    meter = cpu.Meter({"this": [os.getpid()]}, every_s=0)
    before = cpu.process_s(os.getpid())
    while (spent := cpu.process_s(os.getpid()) - before) < 0.1:
        sum(range(10_000))
    ended = time.perf_counter()
    meter.look()
    found = meter.us_per_event(ended, events=1_000)
    assert sum(found["this"].values()) >= spent * 1_000
    assert found.keys() == {"this", *cpu.MACHINE}


def test_the_table_tells_kinds_where_there_are_several() -> None:
    """What spent next to nothing is left out."""
    assert list(cpu.table({"countermand": SPENT}))[2:] == [
        "| countermand | joiner | 23.1 | partitions 20.0, main 3.0 |",
        "| countermand | broker | 12.0 |  |",
    ]


def test_each_cell_is_the_median_of_rounds() -> None:
    """A kind that a round didn't have counts as nothing there."""
    rounds = [{"a": {"main": us, "librdkafka": 1.0}} for us in (1.0, 5.0)] + [{"a": {"main": 3.0}}]
    assert cpu.medians(rounds) == {"a": {"main": 3.0, "librdkafka": 1.0}}
    assert cpu.totals(rounds[1]) == {"a": 6.0}


def test_the_system_knows_names_of_threads(tmp_path: Path) -> None:
    """A module of any tree runs as with `-m`, and its threads have the names that it gives them."""
    (tmp_path / "talking.py").write_text(TALKING, encoding="utf-8")
    command = [sys.executable, named.__file__, str(tmp_path), "talking", "--port", "1"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["partition-7", "None", "--port", "1"]
