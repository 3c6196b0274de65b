"""How the Python API takes a path: as text, or as any object that stands for one; both mean the same."""

from __future__ import annotations

import os

AnyPath = str | os.PathLike[str]
"""A path as the caller has it; `os.fspath` makes text of it."""
