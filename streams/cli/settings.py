"""The settings of a command: those of the environment, and its flags, which win."""

from streams.settings import Settings, load


def load_settings(**flags: object) -> Settings:
    """The settings of the environment and a command's flags, as `streams.settings.load`.

    Raises:
        SettingsError: A variable is unknown, or a value can't be used.
    """
    if "bootstrap_servers" in flags:
        flags["kafka_bootstrap_servers"] = flags.pop("bootstrap_servers")
    return load(**flags)
