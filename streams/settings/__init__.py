"""Settings: read once where a process starts, then frozen.

`model` has them all; `values` reads the kinds of values; `page` shows them to people.
"""

from streams.settings.model import PREFIX, Settings, load, variable

__all__ = ["PREFIX", "Settings", "load", "variable"]
