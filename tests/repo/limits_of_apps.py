"""The limits of `countermand inngest`."""

from typing import Final

from streams.inngest import caller, events, front
from tests.repo.limit import Limit

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_TESTS: Final = "unit/streams/inngest"
ROWS: Final = [
    Limit(
        "events in one call of an app",
        f"{events.MOST:,}",
        "400",
        f"{_TESTS}/test_events.py::test_wrong_events",
    ),
    Limit(
        "the body of a call of an app",
        f"{front.BODY_BYTES // _MIB} MiB",
        "413",
        f"{_TESTS}/test_front.py::test_refusals",
    ),
    Limit(
        "a call to an app: the run's event and all its steps",
        f"{caller.BODY_BYTES // _MIB} MiB",
        "the run fails",
        f"{_TESTS}/test_caller.py::test_a_call_that_is_too_large_is_not_made",
    ),
    Limit(
        "an app's answer",
        f"{caller.ANSWER_BYTES // _KIB} KiB",
        "the run fails",
        f"{_TESTS}/test_caller.py::test_an_answer_that_is_too_large_is_not_kept",
    ),
]
