"""Makes the schemas here of CRDs: `python -m tests.deploy.schemas.trim CRD.yaml … KIND=VERSION …`.

What is for people is left out, and a field that a schema doesn't know is refused: a cluster would
drop it in silence.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

_UNKNOWN: Final = "x-kubernetes-preserve-unknown-fields"
_EITHER: Final = "x-kubernetes-int-or-string"
_METADATA: Final = {"type": "object", "required": ["name"]}


def schema_of(crd: dict[str, Any], version: str) -> dict[str, Any]:
    """The JSON schema of one version of a CRD's objects."""
    (found,) = [one for one in crd["spec"]["versions"] if one["name"] == version]
    assert found["served"]
    schema: dict[str, Any] = trimmed(found["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = _METADATA
    del schema["properties"]["status"]
    return schema


def trimmed(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without descriptions, that refuses unknown fields as the original drops them."""
    keywords = ("type", "enum", "format", "pattern", "required", "minimum", "maximum", "minLength")
    kept = {key: schema[key] for key in keywords if key in schema}
    kept |= {key: schema[key] for key in ("maxLength", "minItems", "maxItems") if key in schema}
    if schema.get(_EITHER):
        kept |= {"type": ["integer", "string"]}
    if schema.get("nullable"):
        kept |= {"type": [kept["type"], "null"]}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            kept[key] = trimmed(schema[key])
    for key in ("oneOf", "anyOf", "allOf"):
        if key in schema and not schema.get(_EITHER):
            kept[key] = schema[key]
    if "properties" in schema:
        kept["properties"] = {name: trimmed(one) for name, one in schema["properties"].items()}
        if not schema.get(_UNKNOWN) and "additionalProperties" not in kept:
            kept["additionalProperties"] = False
    return kept


def main(arguments: Sequence[str]) -> None:
    """Write a file for each kind that is asked for."""
    versions = dict(one.split("=") for one in arguments if "=" in one)
    for path in (Path(one) for one in arguments if "=" not in one):
        for crd in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            kind, group = crd["spec"]["names"]["kind"], crd["spec"]["group"]
            schema = schema_of(crd, versions[kind])
            file = Path(__file__).with_name(f"{group}_{versions[kind]}_{kind}.json")
            text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
            file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
