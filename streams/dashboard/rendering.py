"""Templates, and how values look in them.

Every text is escaped for HTML, and what would steer a terminal or turn a line around is shown as
escapes (`streams.printable`): names, reasons and events are written by anybody.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from streams.dashboard import static, words
from streams.printable import printable, printable_lines


def render(template: str, context: Mapping[str, Any]) -> str:
    """A whole page."""
    return _environment().get_template(template).render(context)


def render_live(template: str, context: Mapping[str, Any]) -> str:
    """What changes of a page while one looks at it: its block `live`, after what `behind` tells."""
    parts = (("base.html", "behind"), (template, "live"))
    return "".join(text for name, block in parts for text in _block(name, block, context))


def _block(template: str, name: str, context: Mapping[str, Any]) -> Iterator[str]:
    found = _environment().get_template(template)
    return found.blocks[name](found.new_context(dict(context)))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("streams.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals |= {"asset": static.address, "words": words}
    environment.filters |= {
        "typed": _typed,
        "pretty": _pretty,
        "lines": _lines,
        "number": _number,
        "when": words.when,
        "percent": words.percent,
    }
    environment.globals["m"] = environment.get_template("macros.html").module
    return environment


def _shown(value: object) -> object:
    """What stands on the page for a value; markup stays as it is."""
    if value is None:
        return ""
    return printable(value) if type(value) is str else value


def _typed(value: str | None) -> Markup:
    """A value as its field holds it: with every character, or it would change by being sent.

    What can't be seen is written by its number, so that it does nothing where the source is read.
    """
    text = str(escape(value or ""))
    if text.isprintable():
        return Markup(text)  # noqa: S704  # escaped above
    return Markup("".join(one if one.isprintable() else f"&#{ord(one)};" for one in text))  # noqa: S704


def _pretty(value: object) -> Markup:
    """JSON over several lines."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return escape(printable_lines(text))


def _lines(text: str) -> Markup:
    """A text with its lines."""
    return escape(printable_lines(text))


def _number(value: float) -> str:
    return f"{value:,}"
