"""`python -m tests.upgrade COMMIT`: leave what a release leaves to the next one in golden/.

With `--back`, this release is the one that leaves its work, and that of the commit goes on with it.
"""

import argparse
import tempfile
from pathlib import Path

from tests.support.trees import checked_out
from tests.upgrade.after import go_on
from tests.upgrade.archive import GOLDEN, pack
from tests.upgrade.before import leave


def main() -> None:
    """Write the archive of a commit, or see that it can take over from this tree."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade")
    parser.add_argument("commit", help="the other release, as git names it")
    parser.add_argument("--back", action="store_true", help="the other one comes after this one")
    options = parser.parse_args()
    with checked_out(options.commit) as tree, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.back:
            leave(None, folder)
            go_on(tree, folder)
            print(f"{options.commit} goes on with what this tree leaves")
        else:
            leave(tree, folder)
            print(pack(folder, GOLDEN / f"{options.commit}.tar.xz"))


main()
