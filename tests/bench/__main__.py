"""`python -m tests.bench [--only KEY]`: measure on one local broker; the last line is JSON."""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from typing import Final

from tests.bench import (
    api,
    budget,
    bulk,
    dashboard,
    doors,
    fan_out,
    inngest,
    latency,
    pending,
    rates,
    read_model,
    sdk,
    sessions,
    shapes,
)
from tests.bench.bench import Bench, local_bench
from tests.bench.deployment import say

PARTS: Final[Mapping[str, Callable[[Bench], Mapping[str, object]]]] = {
    "events_per_s": rates.measure,
    "shapes": shapes.measure,
    "latency_ms": latency.measure,
    "pending_1m": pending.measure,
    "fanout_100k": fan_out.measure,
    "bulk_1m": bulk.measure,
    "api_ms": api.measure,
    "doors": doors.measure,
    "read_model": read_model.measure,
    "sdk": sdk.measure,
    "inngest": inngest.measure,
    "budget": budget.measure,
    "dashboard": dashboard.measure,
    "sessions": sessions.measure,
}


def main() -> None:
    """Measure every part, or one."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    only = parser.parse_args().only
    results = {}
    with local_bench() as bench:
        for name in [only] if only else PARTS:
            began = time.monotonic()
            results[name] = PARTS[name](bench)
            say(name, **results[name], seconds_in_all=round(time.monotonic() - began))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
