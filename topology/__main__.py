"""`python -m topology` prints topics, stages and rows; with `--mermaid`, a chart of them."""

import sys

from topology import graph

graph.validate()
if sys.argv[1:] not in ([], ["--mermaid"]):
    sys.exit("usage: python -m topology [--mermaid]")
sys.stdout.write((graph.mermaid() if sys.argv[1:] else graph.text()) + "\n")
