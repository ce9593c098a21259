"""Rewrite the lock file from the roots below: `python -m streams.broker.relock`.

This is the only place that resolves dependencies; a running broker fetches exactly
what the lock says. To move to another Kafka, change `ROOTS`, run this, and commit both.
"""

import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext, PythonResolver

from streams.broker.lock import LOCK_NAME, Jar, render, sha256_of

ROOTS = (
    "org.apache.kafka:kafka_2.13:4.1.1",
    # The binding has to match the slf4j-api (1.7) that Kafka asks for.
    "org.slf4j:slf4j-simple:1.7.36",
)
_HEADER = """\
# What the local broker runs: coordinate, SHA-256, bytes. Written by
# `python -m streams.broker.relock`; change its ROOTS instead of this file.
"""


def resolve(roots: tuple[str, ...], repository: Path) -> tuple[Jar, ...]:
    """Resolve `roots` with everything they need at run time, into `repository`."""
    context = MavenContext(repo_cache=repository, resolver=PythonResolver())
    wanted = [context.create_dependency(root) for root in roots]
    inputs, transitive = context.resolver.resolve(wanted)
    jars = []
    for dependency in [*inputs, *transitive]:
        artifact = dependency.artifact
        path = artifact.resolve()
        name = (artifact.groupId, artifact.artifactId, artifact.version)
        jars.append(Jar(*name, sha256_of(path), path.stat().st_size))
    return tuple(sorted(jars, key=lambda jar: jar.coordinate))


def main() -> None:
    """Write the lock next to this module."""
    with tempfile.TemporaryDirectory() as folder:
        jars = resolve(ROOTS, Path(folder))
    target = Path(__file__).with_name(LOCK_NAME)
    target.write_text(_HEADER + render(jars), encoding="utf-8")
    sys.stderr.write(f"locked {len(jars)} jars in {target.name}\n")


if __name__ == "__main__":
    main()
