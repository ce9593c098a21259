"""What `docs/limits.md` says around its tables."""

from typing import Final

INTRODUCTION: Final = """\
# Limits

No rule, event or request takes more than its share: of one evaluation, of one transaction, of
memory. The numbers stand in `topology/limits.py`, `streams/matching/limits.py` and, of connections,
`streams/api/protocol.py`; this page is written by `python -m tests.repo.limits_page`. What each
group of people can cost at most: [security](security.md).
"""
END: Final = """\
## How an evaluation is charged
An evaluation has a budget of {budget} million units; a unit is about a nanosecond of the machine
of the benchmarks (two hyperthreads of a server). Each node of the expression weighs {step}, each
item of a list that a macro walks {item} and the nodes of the macro's body, two values compared
{compared}, an error that `&&`, `||` or a macro goes on after {error}. What is made weighs more
than its time, so that a budget is used up by some 8 MiB of new values. The first list that an
evaluation walks weighs a fifth: one look at each item of the largest event fits into the budget,
a second one for each item doesn't. A macro inside another is charged for each item around it, and
in full: "any item of any list" has room for some 30,000 items. Timestamps and durations are
evaluated by celpy, whose steps weigh {reference} times as much, and which walks lists of at most
{reference_items} items. The whole table: `streams/matching/budget.py`.

Everything that depends on the events is charged before it is done, by counts and sizes alone, so
the same expression and the same events always end alike. At the end of the budget the whole
evaluation has no answer; no `||`, `&&` or macro goes on after it (S37). `make bench ONLY=budget`
measures each weight's worst case.

## How a transaction is shared
| kind of work | bytes written and sent | evaluation |
|---|---|---|
{shares}

Each kind stops after the decision that uses its share up, and goes on in the next transaction.
One decision writes at most {decision} MiB, and all of one record's commands in one partition at
most {entry} MiB, which routers check; so a transaction has at most {transaction} MiB, asserted
when `topology/limits.py` is imported. Rows of long work have their turns in the order in
which they came; a slice has at most {decisions} decisions, over as many rows as that takes.
"""
