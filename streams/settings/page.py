"""Shows settings to people: the generated `docs/settings.md`, and the values in effect.

`python -m streams.settings.page > docs/settings.md` writes the page.
"""

import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, get_args, get_origin

from pydantic import SecretStr

from streams.settings.model import OTHER_VARIABLES, Settings, is_secret, variable

MASK: Final = "**********"
_SECRET_WORDS: Final = ("password", "secret", "key", "token", "jaas", "pem")
_INTRODUCTION: Final = """\
# Settings

Every process reads these once when it starts, from the environment; flags of the same name win.
An unknown `COUNTERMAND_*` variable is an error. Durations: `90s`, `10m`, `24h`, `7d`. A secret may
also be the path of a file, in `<variable>_FILE`. `countermand doctor --settings` shows the values
in effect and where each came from. Written by `python -m streams.settings.page`.

| variable | default | meaning |
|---|---|---|
"""
_END: Final = """
Read before settings are: `COUNTERMAND_CACHE_DIR` (where files of the local broker and
tools of tests are kept; the user's cache folder by default) and `COUNTERMAND_CRASH_AT` (tests only:
end at a named step).
"""


def page() -> str:
    """The text of `docs/settings.md`."""
    assert all(name in _END for name in OTHER_VARIABLES)
    rows = [
        f"| `{variable(name)}` | {_default(name)} | {_meaning(name)} |"
        for name in Settings.model_fields
    ]
    return _INTRODUCTION + "\n".join(rows) + "\n" + _END


def shown(settings: Settings, field: str) -> str:
    """The value of a field as text; secrets are masked."""
    value = getattr(settings, field)
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_masked(name, text)}" for name, text in value.items())
    if field == "inputs":
        return ",".join(spec.topic for spec in value)
    return _text(value)


def effective(settings: Settings) -> list[dict[str, str]]:
    """Every setting: its `variable`, `value` (secrets are masked) and `source`."""
    return [
        {
            "variable": variable(name),
            "value": shown(settings, name),
            "source": settings.source(name),
        }
        for name in Settings.model_fields
    ]


def _default(name: str) -> str:
    value = Settings.model_fields[name].get_default(call_default_factory=True)
    text = _text(value) if value not in ((), {}) else ""
    return f"`{text}`" if text else "none"


def _meaning(name: str) -> str:
    field = Settings.model_fields[name]
    choices = [item for item in _choices(field.annotation) if isinstance(item, str)]
    text = field.description or ""
    if choices:
        text += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    return text + (" Secret." if is_secret(name) else "")


def _choices(annotation: object) -> list[object]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        home = str(Path.home())
        return str(value).replace(home, "~", 1) if str(value).startswith(home + "/") else str(value)
    return MASK if isinstance(value, SecretStr) else str(value)


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _masked(name: str, text: str) -> str:
    return MASK if any(word in name.lower() for word in _SECRET_WORDS) else text


if __name__ == "__main__":
    sys.stdout.write(page())
