"""`python -m tests.simulation [--seed N] [--steps N] [--runs N]`: a failing seed fails again."""

import argparse
import logging
import sys
from random import SystemRandom

from tests.simulation.audit import findings
from tests.simulation.world import World


def simulate(seed: int, steps: int) -> tuple[World, list[str]]:
    """One run, and what is wrong with it."""
    world = World(seed)
    world.run(steps)
    return world, findings(world)


def summary(world: World) -> str:
    """What happened in a run, in one line."""
    events, cancelled = len(world.traffic.occurrences), len(world.cluster.records("cancelled"))
    faults = ", ".join(f"{name} {times}" for name, times in sorted(world.faults.happened.items()))
    return f"{events} events, {cancelled} cancelled runs; faults: {faults}"


def main() -> int:
    """Run seeds until one fails, and say how to repeat it."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    first = SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    logging.disable()  # aborted transactions are wanted here
    for seed in range(first, first + options.runs):
        print(f"seed {seed}, {options.steps} steps", flush=True)
        world, wrong = simulate(seed, options.steps)
        print(f"  {summary(world)}")
        if wrong:
            print("\n".join(f"  {line}" for line in wrong[:20]))
            print(f"FAILED: repeat with make simulate SEED={seed}")
            return 1
    return 0


sys.exit(main())
