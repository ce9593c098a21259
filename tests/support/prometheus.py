"""A Prometheus server that scrapes a test's processes and evaluates our rules."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import yaml

from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from tests.support import watching
from tests.support.deadline import eventually

_EVERY: Final = "1s"


class Prometheus:
    """Runs until its block ends; `targets` are hosts and ports by the names of their jobs."""

    def __init__(self, folder: Path, targets: Mapping[str, str]) -> None:
        """Write its configuration; nothing is started yet."""
        self._folder = folder
        self._log = folder / "prometheus.log"
        self._address = f"127.0.0.1:{free_port()}"
        self._config = folder / "prometheus.yaml"
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [target]}]}
            for job, target in targets.items()
        ]
        often = {"scrape_interval": _EVERY, "evaluation_interval": _EVERY}
        config = {"global": often, "rule_files": [str(watching.RULES)], "scrape_configs": jobs}
        self._config.write_text(yaml.safe_dump(config), "utf-8")

    def __enter__(self) -> Self:
        command = [
            str(watching.promtool().with_name("prometheus")),
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self._folder / 'series'}",
            f"--web.listen-address={self._address}",
        ]
        self._process = GuardedProcess(command, self._log)
        self._client = httpx.Client(base_url=f"http://{self._address}/api/v1", timeout=30)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()
        self._process.stop()

    def rules(self) -> list[dict[str, Any]]:
        """All rules, once each was evaluated; empty before."""
        groups = self._get("rules", {})["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that a query has now: each with `metric`, its labels, and `value`."""
        found: list[dict[str, Any]] = self._get("query", {"query": expression})["result"]
        return found

    def _get(self, what: str, asked: Mapping[str, str]) -> dict[str, Any]:
        answer = eventually(lambda: self._answer(what, asked))
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data

    def _answer(self, what: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """What it answers; nothing while it starts."""
        assert self._process.wait(0) is None, self._log.read_text("utf-8")[-2_000:]
        try:
            answer = self._client.get(what, params=asked)
        except httpx.TransportError:
            return {}
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return {}
        found: dict[str, Any] = answer.json()
        return found
