"""Writes what an image is made of to stdout, as a bill of materials (CycloneDX 1.6, JSON).

The image's own Python runs it while the image is built. It lists Python's distributions, Python
itself, and Debian's packages, each with its package URL, by which scanners look for what is known
of it. It has no time and no chance in it: the same image has the same bill.
"""  # noqa: INP001  # a script, which no package holds

import json
import platform
import subprocess
import sys
import uuid
from importlib import metadata
from typing import Any, Final
from urllib.parse import quote

_PRODUCT: Final = "countermand"
_DEBIAN_FIELDS: Final = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"


def _component(kind: str, name: str, version: str, url: str) -> dict[str, Any]:
    return {"type": kind, "bom-ref": url, "name": name, "version": version, "purl": url}


def _licences(found: metadata.PackageMetadata) -> list[dict[str, Any]]:
    for expression in found.get_all("License-Expression") or ():
        return [{"expression": expression}]
    classified = [
        each.rpartition(" :: ")[2]
        for each in found.get_all("Classifier") or ()
        if each.startswith("License ::")
    ]
    return [{"license": {"name": name}} for name in classified]


def _distributions() -> list[dict[str, Any]]:
    listed = []
    for each in metadata.distributions():
        name = each.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        kind = "application" if name == _PRODUCT else "library"
        entry = _component(kind, name, each.version, f"pkg:pypi/{name}@{quote(each.version)}")
        licences = _licences(each.metadata)
        listed.append(entry | ({"licenses": licences} if licences else {}))
    return listed


def _debian_packages() -> list[dict[str, Any]]:
    asked = ["dpkg-query", "--show", "--showformat", _DEBIAN_FIELDS]
    told = subprocess.run(asked, check=True, capture_output=True, text=True)  # noqa: S603  # fixed
    lines = told.stdout.splitlines()
    system = platform.freedesktop_os_release()
    distro = f"{system['ID']}-{system.get('VERSION_ID', '')}"
    listed = []
    for status, name, version, architecture in (line.split("\t") for line in lines):
        url = f"pkg:deb/{system['ID']}/{quote(name)}@{quote(version)}"
        if status == "installed":
            url += f"?arch={architecture}&distro={distro}"
            listed.append(_component("library", name, version, url))
    return listed


def main() -> None:
    """Write the bill of the Python and the system that this runs in."""
    python = platform.python_version()
    components = [
        *_distributions(),
        _component("platform", "python", python, f"pkg:generic/python@{python}"),
        *_debian_packages(),
    ]
    components.sort(key=lambda each: str(each["purl"]))
    (product,) = (each for each in components if each["name"] == _PRODUCT)
    others = [each for each in components if each is not product]
    content = json.dumps(components)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {"component": product},
        "components": others,
    }
    json.dump(bill, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
