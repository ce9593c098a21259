"""Files of the chart that are made of others: `python -m tests.deploy.chart_files` writes them.

They are the table of values in its README, the names of settings in its schema, the topics for
Strimzi, copies of alerts and dashboards, and the manifests in deploy/k8s for those without Helm.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from streams.kafka.topics import OUTPUTS, topic_config
from streams.settings import Settings, load, variable
from tests.deploy.helm import CHART, RELEASE, rendered
from tests.repo import tree
from topology.topics import TOPICS, Partitions, TopicSpec

# Settings that values of the chart are for, so `settings` refuses them.
OWNED: Final = frozenset({
    "kafka_bootstrap_servers", "kafka_security_protocol", "kafka_sasl_mechanism",
    "kafka_sasl_username", "kafka_sasl_password", "kafka_ssl_ca", "kafka_ssl_certificate",
    "kafka_ssl_key", "kafka_ssl_key_password", "kafka_ssl_check_hostname", "kafka_oauth_token_url",
    "kafka_oauth_client_id", "kafka_oauth_client_secret", "kafka_oauth_scope",
    "kafka_oauth_callback", "kafka_extra", "topic_prefix", "inputs", "partitions",
    "replication_factor", "application_id", "group_instance_id", "state_dir", "database_url",
    "api_host", "api_port", "public_url", "web_host", "web_port", "inngest_host", "inngest_port",
    "inngest_signing_key", "inngest_signing_key_fallback", "inngest_origins", "inngest_apps",
})  # fmt: skip
# The command line's alone, and a name that no two processes may ever share: for `extraEnv`.
ELSEWHERE: Final = frozenset({"api_url", "api_key", "worker_name"})
K8S: Final = Path("deploy/k8s")
RULES: Final = "deploy/prometheus/rules.yaml"
DASHBOARDS: Final = CHART / "files/grafana"
_BEGIN: Final = "<!-- values -->\n"
_WIDTH: Final = 110
_KEY: Final = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]\w*):(?P<rest>.*)$")
_DESCRIPTION: Final = re.compile(r"^ *# -- (?P<text>.*)$")
_FURTHER: Final = re.compile(r"^ *# (?P<text>.*)$")
# What only Helm needs to know of an object.
_HELM: Final = re.compile(
    r"^ *(?:helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n"
    r"|^ *annotations:\n(?: *#.*\n)?(?: *helm\.sh/.*\n)+",
    re.MULTILINE,
)
_MADE: Final = (
    "# Made of the chart by `make chart`, for those without Helm: see docs/kubernetes.md.\n"
)
_SOURCE: Final = re.compile(r"^# Source: .*\n", re.MULTILINE)


def made() -> Iterator[tuple[Path, str]]:
    """Each file that is made of others, by its place, and its text; later ones use earlier."""
    yield CHART / "README.md", _readme()
    yield CHART / "values.schema.json", _schema()
    yield CHART / "files/topics.yaml", _topics()
    yield from copies()
    yield K8S / "topics.yaml", _manifests("--show-only", "templates/topics.yaml")
    yield K8S / "countermand.yaml", _manifests("--no-hooks")


def values_table(text: str) -> Iterator[tuple[str, str, str]]:
    """The rows of the table of values: name, default and description, from the file's comments.

    Raises:
        ValueError: a value has neither a description nor values within that have one.
    """
    values = yaml.safe_load(text)
    names: list[tuple[int, str]] = []
    described, description = None, ""
    for line in text.splitlines():
        if found := _DESCRIPTION.match(line):
            description = found["text"]
        elif description and (found := _FURTHER.match(line)):
            description += f" {found['text']}"
        elif found := _KEY.match(line):
            indent = len(found["indent"])
            if described is not None and indent > described:
                continue  # a part of a default
            names = [one for one in names if one[0] < indent] + [(indent, found["key"])]
            described = indent if description else None
            path = [name for _, name in names]
            default = _at(values, path)
            if description:
                yield ".".join(path), json.dumps(default, ensure_ascii=False), description
            elif found["rest"].strip():
                raise ValueError(f"{'.'.join(path)} has no description")
            description = ""


def _at(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values[name]
    return values


def _readme() -> str:
    head, mark, _ = (tree.ROOT / CHART / "README.md").read_text(encoding="utf-8").partition(_BEGIN)
    assert mark, "README.md of the chart has lost the mark before its table"
    text = (tree.ROOT / CHART / "values.yaml").read_text(encoding="utf-8")
    rows = (
        f"| `{name}` | `{default}` | {description} |"
        for name, default, description in values_table(text)
    )
    return "\n".join([head + mark + "| value | default | meaning |", "|---|---|---|", *rows, ""])


def _schema() -> str:
    schema = json.loads((tree.ROOT / CHART / "values.schema.json").read_text(encoding="utf-8"))
    free = (field for field in Settings.model_fields if field not in OWNED | ELSEWHERE)
    schema["$defs"]["setting"]["enum"] = [variable(field) for field in free]
    return _compact(schema) + "\n"


def _compact(value: Any, indent: str = "") -> str:
    """JSON with each object or list on one line, if it fits there."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    deeper = f"{indent}  "
    if isinstance(value, list):
        parts = [f"{deeper}{_compact(one, deeper)}" for one in value]
        return "[\n" + ",\n".join(parts) + f"\n{indent}]"
    parts = [f"{deeper}{json.dumps(key)}: {_compact(one, deeper)}" for key, one in value.items()]
    return "{\n" + ",\n".join(parts) + f"\n{indent}}}"


def _topics() -> str:
    head = (
        "# The topics as `countermand topics create` makes them; retentions follow the settings.\n"
    )
    return head + "".join(f"{spec.name}: {json.dumps(_topic(spec))}\n" for spec in TOPICS)


def _topic(spec: TopicSpec) -> dict[str, Any]:
    """A topic as the chart has it; its replicas, and its retention in ms, come from values."""
    settings = load()
    config = topic_config(spec, settings, factor=1)
    topic: dict[str, Any] = {}
    if spec.partitions is Partitions.ONE:
        topic["partitions"] = 1
    if config.pop("retention.ms", None) is not None:
        field = "retention_outputs" if spec in OUTPUTS else "retention_inputs"
        days = getattr(settings, field).days
        topic["retention"] = {"setting": variable(field), "default": f"{days}d"}
    return topic | {"config": config}


def copies() -> Iterator[tuple[Path, str]]:
    """Alerts and dashboards, which Helm can't read outside of the chart: each copy and its text."""
    for source in sorted((*tree.ROOT.glob(RULES), *tree.ROOT.glob("deploy/grafana/*.json"))):
        folder = DASHBOARDS if source.suffix == ".json" else CHART / "files"
        yield folder / source.name, source.read_text(encoding="utf-8")


def _manifests(*options: str) -> str:
    """What the chart makes of deploy/k8s/values.yaml."""
    text = rendered(tree.ROOT / K8S / "values.yaml", *options, namespace=RELEASE)
    return _MADE + _SOURCE.sub("", _HELM.sub("", text))


def main() -> None:
    """Write all that differs, and say what."""
    for path, text in made():
        file = tree.ROOT / path
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
