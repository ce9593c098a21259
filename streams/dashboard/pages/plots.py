"""What runs did in the last hour, minute by minute."""

from streams.api.fields import time_text
from streams.clock import now_ms
from streams.dashboard.charts import Chart, charts
from streams.dashboard.visit import Visit
from topology.limits import HOUR_MS, MINUTE_MS


async def plots(visit: Visit, function_id: str | None = None) -> tuple[Chart, ...]:
    """The pictures of a function, or of all together; the minute that goes on comes last."""
    now = now_ms()
    end = now - now % MINUTE_MS + MINUTE_MS
    begin, until = time_text(end - HOUR_MS), time_text(end)
    found = await visit.calls.get(
        "/v1/activity", function_id=function_id, after=begin, before=until
    )
    return charts(found["data"], begin, until)
