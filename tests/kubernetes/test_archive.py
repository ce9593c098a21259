"""The image of a single program."""

import hashlib
import io
import tarfile
from pathlib import Path

import orjson

from tests.kubernetes import archive


def test_an_archive_has_what_its_manifest_names(tmp_path: Path) -> None:
    """Its name, the program as entry point, and a layer with the digest that it should have."""
    program, written = tmp_path / "pause", tmp_path / "pause.tar"
    program.write_bytes(b"\x7fELF")
    archive.write(program, "localhost/pause:test", written)
    with tarfile.open(written) as image:
        [manifest] = orjson.loads(_read(image, "manifest.json"))
        config = orjson.loads(_read(image, manifest["Config"]))
        [content] = [_read(image, layer) for layer in manifest["Layers"]]
    with tarfile.open(fileobj=io.BytesIO(content)) as layer:
        [entry] = layer.getmembers()
    assert manifest["RepoTags"] == ["localhost/pause:test"]
    assert config["config"]["Entrypoint"] == ["/pause"]
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(content).hexdigest()]
    assert (entry.name, entry.mode, entry.uid) == ("pause", 0o755, 0)


def _read(image: tarfile.TarFile, name: str) -> bytes:
    file = image.extractfile(name)
    assert file is not None
    return file.read()
