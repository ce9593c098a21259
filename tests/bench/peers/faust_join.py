"""The join on plain Faust: a table by report, and a cancel event sends and removes the stored run.

`faust_join.py BROKER INPUT OUTPUT STATE_DIR GROUP PARTITIONS`.
"""

import sys
from typing import Any

import faust


def build(*arguments: str) -> faust.App:
    """The app, wired."""
    broker, topic, output, state_dir, group, partitions = arguments
    app = faust.App(
        group,
        broker=f"kafka://{broker}",
        store="rocksdb://",
        datadir=state_dir,
        topic_partitions=int(partitions),
        topic_replication_factor=1,
        web_enabled=False,
    )
    events = app.topic(topic, key_type=str, value_serializer="json")
    cancelled = app.topic(output, key_type=str, value_serializer="json")
    runs = app.Table("runs", partitions=int(partitions))

    @app.agent(events)
    async def join(stream: Any) -> None:
        by_report = stream.group_by(lambda event: event["data"]["reportId"], name="report")
        async for event in by_report:
            report = event["data"]["reportId"]
            if event["name"] == "report/generation.requested":
                runs[report] = {
                    "run_id": event["id"],
                    "function": "generate-report",
                    "event": event,
                }
            elif (run := runs.pop(report, None)) is not None:
                await cancelled.send(key=report, value=run)

    return app


if __name__ == "__main__":
    worker = faust.Worker(build(*sys.argv[1:]), loglevel="warn")
    worker.execute_from_commandline()
