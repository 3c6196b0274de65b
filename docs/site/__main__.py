"""Builds the site: `python -m docs.site FOLDER [SOURCE]`. Whatever sphinx warns of is an error."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import build_main

CONFIGURATION = Path(__file__).parent


def build(folder: Path, source: Path) -> int:
    """Build the pages of `source` into `folder`; the exit code."""
    with tempfile.TemporaryDirectory() as trees:
        options = ["--quiet", "--fail-on-warning", "--keep-going", "--no-color"]
        places = ["--conf-dir", str(CONFIGURATION), "--doctree-dir", trees, str(source), str(folder)]
        return build_main([*options, *places])


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder, *source = map(Path, sys.argv[1:])
    failed = build(folder, *(source or [CONFIGURATION.parents[1]]))
    print("not every page was built as it should be: see above" if failed else folder / "index.html")
    sys.exit(failed)
