"""What ends a function early, and how it tells one from the other."""

from typing import Final

from topology.records import Json


class Cancelled(BaseException):
    """The run was cancelled: raised by its next step, or by the sleep that it is in (S32).

    Not an `Exception`, so `except Exception` can't swallow it (S33). A function may catch it to
    clean up and raise it again; one that returns instead still ends cancelled.

    Attributes:
        cause: Why, as in `function.cancelled` (`data.cause`); None if that is not known.
    """

    code: Final = "CANCELLED"

    def __init__(self, cause: Json = None) -> None:
        super().__init__("the run was cancelled")
        self.cause = cause


class StepError(Exception):
    """A step failed for good: its retries are used up.

    Attributes:
        name: The step.
        code: The last error's own `code`, if that is a text, else the name of its class.
        attempts: How often the step was tried.
    """

    def __init__(self, name: str, code: str, attempts: int, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.code = code
        self.attempts = attempts


class Suspended(BaseException):
    """This attempt goes no further here: the run sleeps, or went on elsewhere.

    Functions needn't know of it. It passes through them like `Cancelled`.
    """
