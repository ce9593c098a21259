"""`python -m tests.chaos [--seconds N] [--seed N]`: the last line is JSON."""

import argparse
import shutil
import sys
from random import SystemRandom

import orjson

from tests.chaos.scenario import run


def main() -> int:
    """Run, print what happens, and say what to look at where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    seed = SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    print(f"seed {seed}, {options.seconds:g} s", flush=True)
    outcome = run(options.seconds, seed, lambda text: print(text, flush=True))
    for problem in outcome.problems:
        print(problem)
    if outcome.problems:
        print(f"FAILED: logs, state and Kafka's data are in {outcome.folder}")
        again = f"--seconds {options.seconds:g} --seed {seed}"
        print(f"the same faults and load again: python -m tests.chaos {again}")
    else:
        shutil.rmtree(outcome.folder, ignore_errors=True)
    print(orjson.dumps(outcome.figures).decode(), flush=True)
    return 1 if outcome.problems else 0


sys.exit(main())
