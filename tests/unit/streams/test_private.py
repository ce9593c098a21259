"""Folders and files for this user alone, also those that were open to others."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import private


def modes(folder: Path) -> dict[str, int]:
    """The rights on a folder and all that it holds."""
    found = {".": folder, **{str(one.relative_to(folder)): one for one in folder.rglob("*")}}
    return {name: stat.S_IMODE(path.lstat().st_mode) for name, path in found.items()}


@pytest.fixture
def open_mask() -> Iterator[None]:
    """A mask that takes no rights away."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_mask")
def test_what_is_made_is_private_whatever_the_mask(tmp_path: Path) -> None:
    """Folders 0700, files 0600."""
    private.make_folder(tmp_path / "a")
    private.make_file(tmp_path / "a" / "file")
    assert modes(tmp_path / "a") == {".": 0o700, "file": 0o600}


@pytest.mark.usefixtures("open_mask")
def test_what_was_open_is_closed(tmp_path: Path) -> None:
    """With all that it holds; what the user may do with a file stays, and so do its bytes."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name, mode in (("a/data", 0o666), ("a/b/tool", 0o755), ("a/b/kept", 0o444)):
        (tmp_path / name).write_text("text")
        (tmp_path / name).chmod(mode)
    private.make_tree(tmp_path / "a")
    wanted = {".": 0o700, "data": 0o600, "b": 0o700, "b/tool": 0o700, "b/kept": 0o400}
    assert modes(tmp_path / "a") == wanted
    private.make_file(tmp_path / "a" / "data")
    assert (tmp_path / "a" / "data").read_text() == "text"


@pytest.mark.usefixtures("open_mask")
def test_what_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    """A folder for everybody, as /tmp is, and what a link leads to."""
    everybodys, other = tmp_path / "tmp", tmp_path / "other"
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    private.make_folder(everybodys)
    assert modes(everybodys) == {".": 0o1777}
    other.write_text("")
    (everybodys / "link").symlink_to(other)
    private.make_tree(everybodys)
    assert stat.S_IMODE(other.stat().st_mode) == 0o666
    private.close(tmp_path / "absent")


@pytest.mark.usefixtures("open_mask")
def test_a_mask_holds_for_its_block_and_for_children(tmp_path: Path) -> None:
    """As for files that a library makes."""
    with private.masked():
        (tmp_path / "own").touch()
        touch = f"open({str(tmp_path / 'child')!r}, 'w').close()"
        subprocess.run([sys.executable, "-c", touch], check=True)
    (tmp_path / "later").touch()
    del (found := modes(tmp_path))["."]
    assert found == {"own": 0o600, "child": 0o600, "later": 0o666}


@pytest.mark.usefixtures("open_mask")
def test_a_threads_mask_is_its_own(tmp_path: Path) -> None:
    """The threads that it starts have it too, and no others: those run users' code."""
    allowed = []

    def work() -> None:
        allowed.append(private.mask_thread())
        (tmp_path / "own").touch()
        inner = threading.Thread(target=(tmp_path / "started").touch)
        inner.start()
        inner.join()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (tmp_path / "user").touch()
    del (found := modes(tmp_path))["."]
    mode = 0o600 if allowed == [True] else 0o666
    assert found == {"own": mode, "started": mode, "user": 0o666}
