"""What can't be decided: it is left out, and told of, and everything else goes on (S38)."""

from collections.abc import Iterator
from contextlib import contextmanager

from streams.errors import StoreError
from topology.codec import UnknownLevelError


class PoisonError(Exception):
    """A row can't be decided on when its timer is due or its slice has come; `key` names it.

    Decide again on a new view, and give the row up.
    """

    def __init__(self, key: bytes, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.key = key


@contextmanager
def deciding_on(key: bytes) -> Iterator[None]:
    """Decide on the row, timer or work row of a key.

    Raises:
        PoisonError: a decision raises.
        StoreError, UnknownLevelError: the disk fails, or this release is too old.
    """
    try:
        yield
    except (StoreError, UnknownLevelError):
        raise
    except Exception as error:
        raise PoisonError(key, error) from error
