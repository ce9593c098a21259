"""All routers and joiners of a run."""

from collections.abc import Iterator
from pathlib import Path

from streams.settings import Settings
from tests.support.services import JOINER, ROUTER, Service


class Fleet:
    """Two of each; one of them a static member of its group, the other a dynamic one."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.services = [
            Service(role, settings, folder, number=number, static=number == 1)
            for role in (JOINER, ROUTER)
            for number in (1, 2)
        ]

    def of(self, role: str) -> Iterator[Service]:
        """All of one role."""
        return (one for one in self.services if one.role == role)

    def other(self, service: Service) -> Service:
        """The other one of the same role."""
        [other] = [one for one in self.of(service.role) if one is not service]
        return other

    def start(self) -> None:
        """Start all that don't run, and let go on those that are paused."""
        for service in self.services:
            service.resume()
            service.start()

    def look_after(self) -> None:
        """Start again what ended by itself."""
        for service in self.services:
            service.look_after()

    def end(self) -> dict[str, int]:
        """End all in order; their exit codes."""
        codes = {one.name: one.end() for one in reversed(self.services)}
        return {name: code for name, code in codes.items() if code is not None}
