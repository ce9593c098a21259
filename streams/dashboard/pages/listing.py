"""What pages of lists share: the way to the next one, and counts by status."""

from streams.dashboard.calls import Document
from streams.dashboard.visit import Visit


def next_page(visit: Visit, found: Document | None) -> str | None:
    """The address of the next page, with the same filter; None: there is none."""
    cursor = None if found is None else found["metadata"]["next_cursor"]
    return None if cursor is None else visit.address_with(cursor=cursor)


def by_status(counts: list[Document]) -> dict[str, Document]:
    """Counts of runs by their statuses."""
    return {one["status"].lower(): one for one in counts}
