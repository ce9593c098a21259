"""Reads the headers of records, of which the client can't give all."""

from operator import methodcaller
from typing import Any, Final, TypeAlias

from topology.codec import CodecError

Headers: TypeAlias = list[tuple[str, bytes | None]]
# The client may return headers and leave an exception behind. A call like this raises it; a plain
# method call, once the interpreter has specialised it, doesn't.
_READ: Final = methodcaller("headers")


def headers_of(message: Any) -> Headers | None:  # noqa: ANN401  # of any type of the client
    """The headers of a record that was read; None if it has none.

    Raises:
        CodecError: A name is not UTF-8, so the client can't give them; the rest can be read.
    """
    try:
        headers: Headers | None = _READ(message)
    except (SystemError, UnicodeDecodeError) as error:
        raise CodecError("the name of a header is not UTF-8") from error
    return headers
