"""The errors that steps raise: after a cancel, after a failure, or when an attempt ends."""

from typing import Final

from topology.records import Json


class Cancelled(BaseException):
    """The run was cancelled: raised by its next step, or by its current step or sleep (S32).

    Not an `Exception`, so `except Exception` can't swallow it (S33). A function may catch it to
    clean up and raise it again; if it returns instead, its run still ends cancelled.

    Attributes:
        cause: Why the run was cancelled: `data.cause` of `function.cancelled`; None if unknown.
    """

    code: Final = "CANCELLED"

    def __init__(self, cause: Json = None) -> None:
        super().__init__("the run was cancelled")
        self.cause = cause


class StepError(Exception):
    """A step failed, and its retries are used up, or its result can't be recorded.

    Attributes:
        name: The step's name; a name's second use is numbered, as in `load:1`.
        code: The last error's attribute `code` if that is a string, else its class's name.
        attempts: How often the step was tried.
    """

    def __init__(self, name: str, code: str, attempts: int, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.code = code
        self.attempts = attempts


class Suspended(BaseException):
    """This attempt ends here: the run sleeps, or another worker has it.

    User code needn't handle this. Like `Cancelled`, it isn't an `Exception`.
    """
