"""The join on Quix Streams: state by report, and a cancel event emits and removes the stored run.

Run with an environment of its own: `quix_join.py BROKER INPUT OUTPUT STATE_DIR GROUP`.
"""

import sys
from typing import Any

from quixstreams import Application, State


def join(event: dict[str, Any], state: State) -> dict[str, Any] | None:
    """Keep the run of a trigger event; emit and forget it at its cancel event."""
    if event["name"] == "report/generation.requested":
        state.set("run", {"run_id": event["id"], "function": "generate-report", "event": event})
        return None
    run: dict[str, Any] | None = state.get("run")
    if run is not None:
        state.delete("run")
    return run


def main(broker: str, topic: str, output: str, state_dir: str, group: str) -> None:
    """Join until told to stop."""
    app = Application(
        broker_address=broker,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=state_dir,
        loglevel="WARNING",
    )
    events = app.topic(topic, key_deserializer="str", value_deserializer="json")
    cancelled = app.topic(output, key_serializer="str", value_serializer="json")
    joined = app.dataframe(events).group_by(lambda e: e["data"]["reportId"], name="report")
    joined = joined.apply(join, stateful=True).filter(lambda run: run is not None)
    joined.to_topic(cancelled)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
