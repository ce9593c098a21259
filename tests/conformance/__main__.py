"""`python -m tests.conformance FOLDER [--write]`: the last line is JSON.

`passing.txt` beside this file has the ids of the cases that pass. A run fails if one of them no
longer passes, and if a case passes that isn't among them: `--write` writes it anew.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import orjson

from tests.conformance import cases, report
from tests.conformance.grades import Grade, graded

_PASSING: Final = Path(__file__).parent / "passing.txt"


def main() -> int:
    """Ask every case, and print what isn't right."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("folder", type=Path, help="the suite's *.textproto files")
    parser.add_argument("--write", action="store_true", help="keep the ids of what passes now")
    options = parser.parse_args()
    try:
        suite = cases.read(options.folder)
    except FileNotFoundError as error:
        parser.error(f"{error}: make conformance DATA=cel-spec/tests/simple/testdata")
    results = [graded(case) for case in suite]
    passing = {r.case.id for r in results if r.grade is Grade.RIGHT}
    if options.write:
        _PASSING.write_text("".join(f"{id_}\n" for id_ in sorted(passing)), "utf-8")
    for line in [*report.unlike(results), *report.table(results)]:
        print(line)
    problems = report.changes(set(_PASSING.read_text("utf-8").splitlines()), passing)
    for problem in problems:
        print(problem)
    print(orjson.dumps(report.figures(results)).decode())
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
