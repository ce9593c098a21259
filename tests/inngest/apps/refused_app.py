"""An app of Inngest's SDK for Python whose functions need what isn't here; one could be taken."""

import datetime as dt
import os

import fastapi
import inngest
import inngest.fast_api
import uvicorn

client = inngest.Inngest(app_id=os.environ["APP"])
HOUR = dt.timedelta(hours=1)
EVENT = inngest.TriggerEvent(event="refused/requested")
SHOUTED = inngest.TriggerEvent(event="a/b", expression="uppercase(event.data.id) == 'A'")


async def nothing(_: inngest.Context) -> None:
    """Do nothing."""


def made(id_: str, trigger: inngest.TriggerEvent | inngest.TriggerCron, **fields: object) -> object:
    """A function with these fields."""
    return client.create_function(fn_id=id_, trigger=trigger, **fields)(nothing)  # type: ignore[arg-type]  # each of its own type


FUNCTIONS = [
    made("fine", EVENT),
    made("clock", inngest.TriggerCron(cron="0 * * * *")),
    made("debounced", EVENT, debounce=inngest.Debounce(period=HOUR)),
    made("batched", EVENT, batch_events=inngest.Batch(max_size=2, timeout=HOUR)),
    made("limited", EVENT, rate_limit=inngest.RateLimit(limit=1, period=HOUR)),
    made("once", EVENT, idempotency="event.data.id"),
    made("single", EVENT, singleton=inngest.Singleton(mode="skip")),
    made(
        "shouting", inngest.TriggerEvent(event="a/b", expression="uppercase(event.data.id) == 'A'")
    ),
]

app = fastapi.FastAPI()
inngest.fast_api.serve(app, client, FUNCTIONS)  # type: ignore[arg-type]  # as `made` makes them

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
