"""Which runs a cancel event matches: expressions, their index keys and their evaluation.

Pure: no Kafka client and no Faust. `Branch.pairs` and `canonical` give the keys of the index. A
look-up in the index may give runs that don't match, but never leaves out a run that does.
`Expression.evaluate` decides; `Expression.reference` gives celpy's answer, against which index and
evaluation are tested (S14 to S17).
"""

from streams.matching.budget import Meter
from streams.matching.canonical import Document, Extractor, Values, canonical, extractor, values
from streams.matching.equality import Branch
from streams.matching.expression import Expression, check, match_expression, parse

__all__ = [
    "Branch",
    "Document",
    "Expression",
    "Extractor",
    "Meter",
    "Values",
    "canonical",
    "check",
    "extractor",
    "match_expression",
    "parse",
    "values",
]
