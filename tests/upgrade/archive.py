"""What a release has left, as one file: the broker's data and the joiner's disk."""

import tarfile
from pathlib import Path
from typing import Final

GOLDEN: Final = Path(__file__).parent / "golden"
KAFKA: Final = Path("kafka/logs")
DISK: Final = Path("joiner1/partitions")


def pack(folder: Path, file: Path) -> Path:
    """Write an archive of what is needed from `folder`; the file."""
    with tarfile.open(file, "w:xz", preset=9) as archive:
        for part in (KAFKA, DISK):
            archive.add(folder / part, str(part), filter=_anonymous)
    return file


def unpack(file: Path, folder: Path) -> None:
    """Put all into `folder`."""
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """A file without its owner; RocksDB's own log is left out."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if Path(member.name).name.startswith("LOG") else member
