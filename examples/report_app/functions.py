"""The worker's side: `countermand worker examples.report_app.functions:app`."""

import time
from collections import defaultdict
from functools import cache
from typing import Any, Final

from sqlalchemy.orm import sessionmaker

from examples.report_app import files, reports
from examples.report_app.database import Database, open_engine
from examples.report_app.reports import Work
from examples.report_app.settings import Settings
from streams.sdk import App, CancelledRun, Context, Retries, StepError

_CHUNKS: Final = 20
# Who cancelled it, where it wasn't the report's user.
_OTHERS: Final = {
    "start_timeout": "the time limit",
    "finish_timeout": "the time limit",
    "api": "an operator",
    "cancellation": "an operator",
    "pause": "an operator",
}

app = App("reports")


@app.function(
    id="generate-report",
    trigger=reports.REQUESTED,
    cancel_on=[{"event": reports.CANCELLED, "match": "data.reportId"}],
    timeouts={"start": "1h", "finish": "2h"},
    lease="20s",
    retries=Retries(attempts=6, never=(LookupError,)),
)
async def generate_report(ctx: Context) -> None:
    """Generate a report, in steps: a cancel stops it before the next one."""
    work = Work(ctx.event.data["reportId"], ctx.event.id, ctx.run_id)
    # However long the database is away: a run must not end without its report.
    last = ctx.step.with_retries(Retries(attempts=10_000))
    try:
        rows = await ctx.step.run("load", load, work)
        await ctx.step.sleep("settle", settings().sleep)
        totals = await ctx.step.run("compute", compute, work, rows, ctx)
        await ctx.step.run("render", render, work, rows, totals)
    except StepError as error:
        await last.run("fail", fail, work, str(error))
        raise
    if not await last.run("complete", complete, work):
        # A cancel was asked for and is on its way: it ends the run here. If it doesn't come, the
        # report is there, and says so.
        await ctx.step.sleep("grace", settings().grace)
        await last.run("complete", complete, work, despite_cancel=True)


@app.on_cancelled(function="generate-report")
def clean_up(run: CancelledRun) -> None:
    """The run has stopped: nothing is left of it, and then the report is cancelled."""
    work = Work(run.event.data["reportId"], run.event.id, run.run_id)
    if not reports.is_generated(database(), work):
        files.remove(settings(), work.report_id, work.run_id)
        reports.cancelled(database(), work, _OTHERS.get(run.cause["type"]))


def load(work: Work) -> list[list[Any]]:
    """Begin, and read the figures: rows of region, month and amount."""
    reports.started(database(), work)
    reports.progressed(database(), work, "load")
    rows = reports.sales(database(), work.report_id)
    reports.progressed(database(), work, "settle")
    return rows


def compute(work: Work, rows: list[list[Any]], ctx: Context) -> dict[str, int]:
    """Add up by region, slowly; ends early if nobody wants it any more."""
    files.begin(settings(), work.report_id, work.run_id)
    totals: dict[str, int] = defaultdict(int)
    for chunk in range(_CHUNKS):
        if ctx.cancelled:
            break
        reports.progressed(database(), work, "compute", 100 * chunk // _CHUNKS)
        part = rows[chunk::_CHUNKS]
        for region, _, amount in part:
            totals[region] += amount
        files.append(settings(), work.report_id, work.run_id, part)
        time.sleep(settings().compute_s / _CHUNKS)
    return dict(totals)


def render(work: Work, rows: list[list[Any]], totals: dict[str, int]) -> None:
    """Write the whole file, figures and sums, and let it be seen."""
    reports.progressed(database(), work, "render", 100)
    sums = [[region, "total", total] for region, total in sorted(totals.items())]
    files.begin(settings(), work.report_id, work.run_id)
    files.append(settings(), work.report_id, work.run_id, [*rows, *sums])
    files.finish(settings(), work.report_id, work.run_id)


def complete(work: Work, *, despite_cancel: bool = False) -> bool:
    """The report is generated, unless a cancel that was asked for counts."""
    return reports.completed(database(), work, despite_cancel=despite_cancel)


def fail(work: Work, error: str) -> None:
    """The report has failed: nothing is left but the reason."""
    files.remove(settings(), work.report_id, work.run_id)
    reports.failed(database(), work, error)


@cache
def settings() -> Settings:
    """The worker's settings."""
    return Settings.load()


@cache
def database() -> Database:
    """The database, opened when the first run needs it."""
    return sessionmaker(open_engine(settings()))
