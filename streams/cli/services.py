"""What the commands that run a process share: settings, logs, and the log of a failure."""

from collections.abc import Callable

from streams import logs
from streams.cli import options
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


def with_state(service: Callable[[Settings], None], what: str) -> Callable[..., None]:
    """The command that runs a process with a state directory; `what` is its help."""

    def command(
        *,
        bootstrap_servers: options.Bootstrap = None,
        topic_prefix: options.Prefix = None,
        state_dir: options.StateDir = None,
        web_port: options.WebPort = None,
        log_format: options.LogFormat = None,
        log_level: options.LogLevel = None,
    ) -> None:
        settings = configured(
            bootstrap_servers=bootstrap_servers,
            topic_prefix=topic_prefix,
            state_dir=state_dir,
            web_port=web_port,
            log_format=log_format,
            log_level=log_level,
        )
        run_service(service, settings)

    command.__doc__ = what
    return command


def configured(**flags: object) -> Settings:
    """Load the settings and configure the logs by them.

    Raises:
        SettingsError: As `load_settings`.
    """
    settings = load_settings(**flags)
    logs.configure(settings.log_level, settings.log_format)
    return settings
