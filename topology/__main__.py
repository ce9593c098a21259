"""`python -m topology`: print what exists; `--mermaid` draws it."""

import sys

from topology import graph

graph.validate()
if sys.argv[1:] not in ([], ["--mermaid"]):
    sys.exit("usage: python -m topology [--mermaid]")
sys.stdout.write((graph.mermaid() if sys.argv[1:] else graph.text()) + "\n")
