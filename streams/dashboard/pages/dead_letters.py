"""Dead letters: by reason, one with its bytes, and the way to send them again."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response
from ulid_transform import ulid_now

from streams.dashboard.calls import Document, RefusedCallError
from streams.dashboard.fields import FormErrors
from streams.dashboard.pages.listing import next_page
from streams.dashboard.routing import Pages
from streams.dashboard.visit import Visit

pages = Pages()
PATH: Final = "/dead-letters"
_ROUTE: Final = "/v1/dead-letters/redrive"
# A page waits so long for portions; what is left by then comes with the next click.
_WAIT_S: Final = 5.0


@pages.get(PATH)
async def list_(visit: Visit) -> Response:
    """How many there are for each reason; those of one reason, or all, the newest first."""
    kind = visit.query.get("class", "")
    found = await visit.calls.get(
        "/v1/dead-letters", **{"class": kind}, cursor=visit.query.get("cursor"), limit=50
    )
    return visit.page(
        "dead_letters.html",
        found=found,
        kind=kind,
        classes=await visit.calls.get("/v1/dead-letters/classes"),
        next=next_page(visit, found),
        note=visit.query.get("note"),
        once=ulid_now(),
    )


@pages.get(PATH + "/{partition:int}/{offset:int}")
async def show(visit: Visit) -> Response:
    """One dead letter."""
    return await _letter(visit)


@pages.post(PATH + "/{partition:int}/{offset:int}/redrive")
async def redrive_one(visit: Visit) -> Response:
    """Send one again."""
    place = visit.request.path_params
    body: dict[str, Any] = {"letters": [f"{place['partition']}:{place['offset']}"]}
    body |= visit.typed("reason")
    try:
        found = await visit.calls.post(_ROUTE, body, visit.form.get("once"))
    except RefusedCallError as error:
        return await _letter(visit, FormErrors.of(error))
    note = "redriven" if found["data"]["sent"] else "not_redriven"
    return visit.go(f"{PATH}/{place['partition']}/{place['offset']}?note={note}")


@pages.post(PATH + "/redrive")
async def redrive_all(visit: Visit) -> Response:
    """Count those of a reason; or send again exactly what was counted, and nothing without that."""
    kind = visit.form.get("class", "")
    counts = visit.form.get("step") != "commit" or not visit.form.get("cursor")
    done = await _portions(visit, kind, counts=counts)
    return visit.page(
        "redrive.html",
        HTTPStatus.OK if done.refused is None else done.refused.status,
        kind=kind,
        problems=[] if done.refused is None else [str(done.refused)],
        total=_total(done.answers),
        cursor=done.answers[0]["metadata"]["cursor"] if done.answers else None,
        left=done.left,
        counts=counts,
        reason=visit.form.get("reason", ""),
        once=ulid_now(),
    )


@dataclass(slots=True)
class _Portions:
    """What was done in one request of a page.

    Attributes:
        answers: To the calls that went well.
        left: The cursor of what wasn't looked at; None: nothing is left.
        refused: The call that ended it, if one did.
    """

    left: str | None
    answers: list[Document] = field(default_factory=list)
    refused: RefusedCallError | None = None


async def _portions(visit: Visit, kind: str, *, counts: bool) -> _Portions:
    """One call after another, until nothing is left, one is refused, or the time is up."""
    until = time.monotonic() + _WAIT_S
    done = _Portions(visit.form.get("cursor") or None)
    body = {"class": kind, "dry_run": counts} | visit.typed("reason")
    while not done.answers or (done.left is not None and time.monotonic() < until):
        once = None if counts else f"{visit.form.get('once', '')}-{len(done.answers)}"
        try:
            answer = await visit.calls.post(_ROUTE, body | {"cursor": done.left}, once)
        except RefusedCallError as error:
            done.refused = error
            break
        done.answers.append(answer)
        done.left = answer["metadata"]["next_cursor"]
    return done


def _total(portions: list[Document]) -> Mapping[str, Any]:
    """What several calls have done together."""
    sums: Counter[str] = Counter()
    topics: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for portion in portions:
        data = portion["data"]
        sums.update({name: data[name] for name in ("found", "sent", "skipped")})
        topics.update(data["topics"])
        why.update(data["why_skipped"])
    return {
        **{name: sums[name] for name in ("found", "sent", "skipped")},
        "topics": dict(topics),
        "why_skipped": dict(why),
    }


async def _letter(visit: Visit, errors: FormErrors | None = None) -> Response:
    place = visit.request.path_params
    answer = await visit.calls.get(f"/v1/dead-letters/{place['partition']}/{place['offset']}")
    return visit.page(
        "dead_letter.html",
        HTTPStatus.OK if errors is None else HTTPStatus.UNPROCESSABLE_ENTITY,
        letter=answer["data"],
        errors=errors or FormErrors(),
        note=visit.query.get("note"),
        once=ulid_now(),
    )
