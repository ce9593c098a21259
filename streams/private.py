"""Files for this user alone: what processes keep on disk holds events, results and keys."""

import ctypes
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

OTHERS: Final = 0o077
_CLONE_FS: Final = 0x200


def make_folder(path: Path) -> None:
    """Make a folder that only this user can enter; one that is there is closed to others."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    close(path.resolve())


def make_tree(path: Path) -> None:
    """Make a folder as `make_folder` does, and close all that it holds to others."""
    make_folder(path)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            close(Path(folder, name))


def make_file(path: Path) -> None:
    """Make an empty file that only this user can read; one that is there is closed to others."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        close(path)


def close(path: Path) -> None:
    """Take the rights of others away from a file or folder, if it is there.

    What isn't this user's stays as it is, and so does a folder that is for everybody, as /tmp is.
    """
    with suppress(FileNotFoundError):
        found = path.lstat()
        plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
        for_all = found.st_mode & stat.S_ISVTX
        if found.st_mode & OTHERS and plain and not for_all and found.st_uid == os.geteuid():
            path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)


@contextmanager
def masked() -> Iterator[None]:
    """In the block, what this process and its children make is for this user alone."""
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def mask_thread() -> bool:
    """From now on, what this thread and those that it starts make is for this user alone.

    Other threads run users' code, whose files are none of our business. The thread must not be the
    main one. Gives whether the system allows it: where it refuses (in some containers), files are
    only as private as their folder.
    """
    allowed: bool = sys.platform == "linux" and ctypes.CDLL(None).unshare(_CLONE_FS) == 0
    if allowed:
        os.umask(OTHERS)
    return allowed
