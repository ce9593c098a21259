"""Settings: read once when a process starts, and never changed.

`model` has all settings, `values` reads their special kinds of values, `page` shows them to people.
"""

from streams.settings.model import PREFIX, Settings, load, variable

__all__ = ["PREFIX", "Settings", "load", "variable"]
