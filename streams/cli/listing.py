"""Lists of the API: pages up to a limit, as a table or as one JSON object per line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from streams.cli.client import ApiClient, Document
from streams.cli.console import json_out, say, table, waiting

Row: TypeAlias = Callable[[Document], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Listed:
    """Which list to read, and how it is shown.

    Attributes:
        path: The list's path.
        params: Its filters.
        what: What is listed, in the plural.
        columns: The table's heads.
        row: Makes the table's cells of a document.
    """

    path: str
    params: Mapping[str, Any]
    what: str
    columns: Sequence[str]
    row: Row


@dataclass(slots=True)
class _Found:
    """What was read of a list so far."""

    cursor: str | None
    rows: list[Sequence[str]] = field(default_factory=list)
    count: int = 0
    failed: int = 0


def show_list(
    client: ApiClient, listed: Listed, *, limit: int, cursor: str | None, json: bool
) -> None:
    """Print at most `limit` rows of a list, and the cursor; on Ctrl-C the rows read so far."""
    found = _Found(cursor)
    try:
        for document in _documents(client, listed, limit, found):
            found.count += 1
            if json:
                json_out(document)
            else:
                found.rows.append(listed.row(document))
    except BaseException:
        if found.rows:
            _show(listed, found)
        raise
    if json:
        _say_more(found)
    else:
        _show(listed, found)


def _documents(client: ApiClient, listed: Listed, limit: int, found: _Found) -> Iterator[Document]:
    """The rows, page by page; on a terminal it is shown how many runs were looked at."""
    scanned = 0
    with waiting("") as status:
        for page in client.pages(listed.path, listed.params, limit=limit, cursor=found.cursor):
            yield from page["data"]
            metadata = page["metadata"]
            found.cursor = metadata["next_cursor"]
            found.failed += metadata.get("failed", 0)
            scanned += metadata.get("scanned", 0)
            status.update(f"looked at {scanned:,} {listed.what}")


def _show(listed: Listed, found: _Found) -> None:
    if found.rows:
        table("", listed.columns, found.rows)
    without = f"; on {found.failed} others --if had no answer" if found.failed else ""
    say(f"{found.count} {listed.what}{without}")
    _say_more(found)


def _say_more(found: _Found) -> None:
    if found.cursor is not None:
        say(f"there may be more: --cursor {found.cursor}")
