"""`python -m tests.kubernetes.archive PROGRAM NAME FILE`: an image of one static program."""

import hashlib
import io
import platform
import sys
import tarfile
from pathlib import Path
from typing import Final

import orjson

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def write(program: Path, name: str, archive: Path) -> None:
    """Write the image `name` as a docker-archive: its one file, and entry point, is the program."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(program, f"/{program.name}", filter=_plain)
    config = orjson.dumps(
        {
            "architecture": _ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
            "rootfs": {
                "type": "layers",
                "diff_ids": ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()],
            },
        }
    )
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    contents = {
        "layer.tar": layer.getvalue(),
        "config.json": config,
        "manifest.json": orjson.dumps(manifest),
    }
    with tarfile.open(archive, "w") as tar:
        for member, content in contents.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.mode = 0o755
    return info


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
