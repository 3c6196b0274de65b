"""The snippets of docs/reference/archive-format.md run, and say what the archive holds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spectra_cli.archive.content.checkpoint_table import JSON_COLUMNS, TEXT_COLUMNS
from spectra_cli.archive.content.layout import FORMAT_VERSION
from spectra_cli.archive.content.measurement_group import PER_SPECTRUM
from spectra_cli.archive.content.vectors import COUNT, DIGEST, SIDES
from spectra_cli.archive.writer import write_archive

DOCUMENT = (Path(__file__).parents[2] / "docs" / "reference" / "archive-format.md").read_text()


def test_the_snippets_read_what_was_written(tmp_path, series):
    path = tmp_path / "a.spectra.h5"
    # a scan writes the probe's loss under the probe
    scalars = [tuple(replace(each, measurement="probe") for each in one.scalars) for one in series]
    write_archive(path, [replace(one, scalars=own) for one, own in zip(series, scalars, strict=True)])
    names: dict[str, Any] = {"path": path}
    snippets = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        exec(snippet, names)  # noqa: S102 - the document's own code
    written = next(s for s in series[-1].spectra if s.site.address == "blocks.1.resid_post")
    np.testing.assert_array_equal(names["eigenvalues"], written.values)
    # every spectrum here has fewer than ten values: the sums differ in order only
    np.testing.assert_allclose(names["top_share"], 1.0, rtol=1e-12)
    assert names["loss"].values.tolist() == [3.5] * 4
    names["everything"].close()
    names["spectra"].close()


def test_every_variable_is_described():
    assert f"version {FORMAT_VERSION}" in DOCUMENT
    for name in (*TEXT_COLUMNS, *JSON_COLUMNS, *PER_SPECTRUM, COUNT, DIGEST, *SIDES, *SIDES.values()):
        assert f"`{name}`" in DOCUMENT
