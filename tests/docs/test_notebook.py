"""The notebook runs as it stands, in a kernel of its own, and its results are shown as HTML."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.builders.every_form import html_texts

NOTEBOOK = Path(__file__).parents[2] / "docs" / "how-to" / "in-a-notebook.ipynb"


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> list[dict[str, Any]]:
    """What each cell shows that shows something, by media type."""
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the messaging between kernel and client
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(folder / "jupyter"))
        patch.setenv("OMP_NUM_THREADS", "1")
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    assert (folder / "slow.spectra.h5").is_file()
    outputs = (cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    return [one.data for found in outputs for one in found if one.output_type == "execute_result"]


def test_it_is_kept_without_outputs():
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)


def test_results_are_html_of_our_own_and_text(shown):
    run, table, frame, figure, spectrum, share, comparison, numbers, now = shown
    for result in (run, table, spectrum, comparison, now):
        assert result.keys() >= {"text/plain", "text/html"}
        assert html_texts(result["text/html"])  # which fails on markup that is not our own
    assert "slow.spectra.h5: 3 checkpoints" in run["text/plain"]
    assert "rankme_cov" in table["text/plain"]
    assert figure.keys() == {"text/plain", "image/png"}
    assert figure["text/plain"].startswith("slow and fast: activations over training")
    assert "gradients layer 1 mlp.down, step 40" in spectrum["text/plain"]
    assert "fast against slow" in comparison["text/plain"]
    assert "weights layer 0 attn.q, step 40" in now["text/plain"]
    assert "<table" in frame["text/html"]
    assert "different" in numbers["text/html"]
    assert share["text/plain"].startswith("(")
