"""Where a process's time goes: `python -m tests.bench.profiling [--only router|joiner|read-model]`.

Runs the work of `events_per_s`, or of `read_model`, with py-spy around the process, prints where
Python code held the interpreter, and leaves collapsed stacks in `.countermand/profiles/` for any
flame graph viewer. Rates are not printed: sampling slows the process down.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench import full_speed, read_model
from tests.bench.bench import local_bench
from tests.bench.load import Work

ROLES: Final = ("router", "joiner", "read-model")
_WORK: Final = Work(300_000)
_FOLDER: Final = Path(__file__).resolve().parents[2] / ".countermand" / "profiles"
_RATE: Final = "100"
_SHOWN: Final = 45


class Stack(NamedTuple):
    """A sampled stack, outermost frame first, and how often it was seen."""

    frames: list[str]
    samples: int


def main() -> None:
    """Profile the processes, one after the other, or one."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profiling")
    parser.add_argument("--only", choices=ROLES, help="profile this process alone")
    parser.add_argument(
        "--events", type=int, default=_WORK.triggers, help="trigger events, or runs"
    )
    options = parser.parse_args()
    for role in [options.only] if options.only else ROLES:
        report(profile(role, Work(options.events)), role)


def profile(role: str, work: Work) -> Path:
    """Run the work with a profiler around one process; the file with its stacks."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    target = _FOLDER / f"{role}-{time.strftime('%Y%m%d-%H%M%S')}.collapsed"
    spy = str(Path(sys.executable).with_name("py-spy"))
    record = [spy, "record", "--gil", "--threads", "--nonblocking", "--rate", _RATE]
    launcher = [*record, "--format", "raw", "--output", str(target), "--"]
    with local_bench() as bench:
        if role == "read-model":
            read_model.measure(bench, work.triggers, {role: launcher})
        else:
            full_speed.countermand(bench, work, launchers={role: launcher}, joiners=1)
    return target


def report(stacks: Path, role: str) -> None:
    """Print samples by thread, and by function with and without what it calls."""
    within: Counter[str] = Counter()
    itself: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    for stack in _read(stacks):
        threads[stack.frames[0]] += stack.samples
        functions = [_function(frame) for frame in stack.frames[1:]]
        itself[functions[-1] if functions else stack.frames[0]] += stack.samples
        within.update(dict.fromkeys(functions, stack.samples))
    total = max(1, threads.total())
    print(f"{role}: {total} samples, {stacks}")
    for thread, samples in threads.most_common(10):
        print(f"{100 * samples / total:6.1f} %  {thread}")
    print("  within  itself")
    for function, samples in within.most_common(_SHOWN):
        print(f"{100 * samples / total:6.1f} {100 * itself[function] / total:7.1f}  {function}")


def _read(path: Path) -> Iterator[Stack]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            frames, _, samples = line.rpartition(" ")
            yield Stack(frames.split(";"), int(samples))


def _function(frame: str) -> str:
    """The frame without its line, so that a function is counted once."""
    name, _, place = frame.partition(" (")
    return f"{name} ({place.rpartition(':')[0] or place.rstrip(')')})"


if __name__ == "__main__":
    main()
