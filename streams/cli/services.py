"""What the commands that run a process share: settings, logs, and the log of a failure."""

from collections.abc import Callable

from streams import logs
from streams.cli.settings import load_settings
from streams.errors import CountermandError
from streams.settings import Settings


def run_service(service: Callable[[Settings], None], settings: Settings) -> None:
    """Run a process until a signal stops it; an error that ends it is logged and raised."""
    try:
        service(settings)
    except Exception as error:
        expected = isinstance(error, CountermandError)
        log = logs.get(__name__)
        (log.error if expected else log.exception)("Stopped by an error", error=str(error))
        raise


def configured(**flags: object) -> Settings:
    """Load the settings and configure the logs by them.

    Raises:
        SettingsError: As `load_settings`.
    """
    settings = load_settings(**flags)
    logs.configure(settings.log_level, settings.log_format)
    return settings
