"""How sphinx makes the site: of the Markdown as it lies in the repository, links included.

Sources are read from the root of the repository, so that a link that works on a page of Markdown works in
the site. Nothing is fetched, at build or at view: furo brings no fonts, search is a script beside the pages.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

project = "spectra"
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**.md", "docs/**.ipynb"]
exclude_patterns = [
    "**/.ipynb_checkpoints",
    ".*",
    "build",
    "dist",
    "site",
    "spectra-*",
    "tests",
    "benchmarks",
]
extensions = ["myst_parser", "docs.site.navigation", "docs.site.notebooks"]
nitpicky = True

# the anchors that GitHub gives headings, which the pages' links use
myst_heading_anchors = 4

html_theme = "furo"
html_title = "spectra"
templates_path = ["templates"]
# the address without a page: goes on to the README's page
html_additional_pages = {"index": "front.html"}
html_use_index = False
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
