"""Settings of the app, from `REPORT_APP_*` variables; Countermand's own are `COUNTERMAND_*`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_DATA_DIR: Final = "~/.local/share/countermand/report-app"


@dataclass(frozen=True)
class Settings:
    """What web app and worker have to agree on.

    Attributes:
        data_dir: Where the files are, and the SQLite database.
        database_url: An SQLAlchemy URL of SQLite or PostgreSQL.
        sleep: How long a run waits before it computes.
        compute_s: How long it computes.
        grace: How long a finished run waits for a cancel that was asked for before it finished.
    """

    data_dir: Path
    database_url: str
    sleep: str = "10s"
    compute_s: float = 8.0
    grace: str = "30s"

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read them."""
        given = {
            name.removeprefix("REPORT_APP_"): value
            for name, value in environ.items()
            if name.startswith("REPORT_APP_") and value
        }
        data_dir = Path(given.get("DATA_DIR", _DATA_DIR)).expanduser().absolute()
        return cls(
            data_dir=data_dir,
            database_url=given.get("DATABASE_URL", f"sqlite:///{data_dir}/reports.db"),
            sleep=given.get("SLEEP", cls.sleep),
            compute_s=float(given.get("COMPUTE_SECONDS", cls.compute_s)),
            grace=given.get("GRACE", cls.grace),
        )

    @property
    def files(self) -> Path:
        """Where the reports are written."""
        return self.data_dir / "files"
