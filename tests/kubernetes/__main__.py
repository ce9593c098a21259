"""`python -m tests.kubernetes RUN NEXT_TAG [--seed N]`: the last line is JSON.

`run.sh` starts it beside a cluster, in whose namespaces it is.
"""

import argparse
import sys
from pathlib import Path
from random import SystemRandom

import orjson

from tests.kubernetes.cluster import CommandError
from tests.kubernetes.scenario import run


def main() -> int:
    """Run, print what happens, and say what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes")
    parser.add_argument("run", type=Path, help="the cluster's folder")
    parser.add_argument("next_tag", help="to which the image is upgraded")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    try:
        outcomes = run(options.run, options.next_tag, options.seed, _say)
    except (AssertionError, CommandError) as failure:
        print(f"FAILED: {failure}")
        return 1
    outcome = list(outcomes.values())[-1]
    for problem in outcome.findings.lines():
        print(problem)
    figures = {
        "expected": len(outcome.goal.cancelled),
        "missing": len(outcome.findings.missing),
        "duplicate": len(outcome.findings.duplicate),
        "extra": len(outcome.findings.extra),
        "longest_gap_s": {name: round(one.gap.seconds, 1) for name, one in outcomes.items()},
    }
    print(orjson.dumps(figures).decode(), flush=True)
    return 0 if outcome.findings.ok else 1


def _say(text: str) -> None:
    print(text, flush=True)


sys.exit(main())
