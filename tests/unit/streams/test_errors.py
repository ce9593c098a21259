"""The drawing of the errors is true."""

import inspect
import re

from streams import errors

DRAWN = re.compile(r"^    ((?:[│ ]   )*)(?:[├└]── )?(\w+Error)\b", re.MULTILINE)


def test_the_drawing_shows_every_error() -> None:
    """Each class stands once, below its base."""
    assert errors.__doc__ is not None
    drawn: dict[str, str | None] = {}
    above: list[str] = []
    for indent, name in DRAWN.findall(errors.__doc__):
        depth = 0 if not above else len(indent) // 4 + 1
        above[depth:] = [name]
        drawn[name] = above[depth - 1] if depth else None
    bases = {
        name: kind.__bases__[0].__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.CountermandError)
    }
    assert drawn == bases | {"CountermandError": None}
