"""The versions of Countermand and of what it stands on."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_LIBRARIES: Final = ("faust-streaming", "aiokafka", "confluent-kafka", "rocksdict", "cel-python")


def installed_version() -> str:
    """The installed version of Countermand, or `unknown` in a bare checkout."""
    try:
        return version("countermand")
    except PackageNotFoundError:
        return "unknown"


def versions() -> dict[str, str]:
    """The versions of Countermand, Python and the libraries whose behaviour it relies on."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"countermand": installed_version(), "python": platform.python_version()} | libraries
