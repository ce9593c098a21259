"""Long-running reports that can be cancelled: a web app, its outbox and its worker.

- `web` serves the pages, with the relay of the outbox beside it; `functions` is the worker's app.
- `reports` has every change of a report's status; nothing else writes one.
- `python -m examples.report_app` starts all of it, with a Kafka if none is given.
"""
