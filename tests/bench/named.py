"""`named.py TREE MODULE ARGUMENTS`: like `python -m MODULE` in `TREE`, with named threads.

The system then knows each of Python's threads by the name that the code gives it, as it knows those
of libraries, and its CPU time can be told: `ps`, `top -H` and `tests.bench.cpu` show it. From 3.14
on Python does so by itself.
"""

import runpy
import sys
import threading
from pathlib import Path
from types import FrameType


def tell_name(_frame: FrameType, _event: str, _argument: object) -> None:
    """Profile a thread's first call, to tell the system the thread's name, and none after it."""
    sys.setprofile(None)
    Path("/proc/thread-self/comm").write_text(threading.current_thread().name, encoding="utf-8")


if __name__ == "__main__":
    _, sys.path[0], module, *sys.argv[1:] = sys.argv
    threading.setprofile(tell_name)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
