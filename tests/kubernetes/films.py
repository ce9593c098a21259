"""An app with one function, which the chart's worker runs."""

import tempfile
import threading
from pathlib import Path

from streams.sdk import App, CancelledRun, Context

app = App("films")


def draw(path: Path, frame: int) -> None:
    """Take half a second for a frame."""
    threading.Event().wait(0.5)
    with path.open("a") as film:
        film.write(f"frame {frame}\n")


@app.function(
    id="render",
    trigger="film/requested",
    cancel_on=[{"event": "film/cancelled", "match": "data.film"}],
)
async def render(ctx: Context) -> None:
    """Draw a film, frame by frame."""
    for frame in range(ctx.event.data["frames"]):
        await ctx.step.run(f"draw {frame}", draw, _path(ctx.event.data["film"]), frame)


@app.on_cancelled(function="render")
def remove(run: CancelledRun) -> None:
    """Remove what was drawn of it."""
    _path(run.event.data["film"]).unlink(missing_ok=True)


def _path(film: str) -> Path:
    return Path(tempfile.gettempdir(), film)
