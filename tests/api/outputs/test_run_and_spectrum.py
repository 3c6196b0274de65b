from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectra_cli.api.shown import output_of
from spectra_cli.render.forms.registry import FORMS
from tests.builders.every_form import nothing_is_lost


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", ["run", "spectrum", "weight", "table"])
def test_no_form_loses_anything_of_it(run, what, form):
    shown = {
        "run": run,
        "spectrum": run.spectrum(10, "blocks.0.resid_post"),
        "weight": run.spectrum(10, "embed"),
        "table": run.table(statistics="rankme_cov"),
    }
    nothing_is_lost(output_of(shown[what]), form)


def test_a_run_says_what_it_holds(run, seeded):
    text = repr(run)
    assert " ".join(text.split()).startswith(
        f"{seeded}: 3 checkpoints, activations, uncentred gradients, weights Checkpoints"
    )
    assert all(f"step{step}" in text for step in (0, 10, 15))


def test_a_spectrum_says_what_it_is_of(run):
    text = repr(run.spectrum(10, "blocks.0.attn.q", "weights"))
    assert text.startswith("weights layer 0 attn.q, step 10: 6 eigenvalues from ")
    document = output_of(run.spectrum(10, "embed")).document()
    assert json.loads(json.dumps(document))["values"] == run.spectrum(10, "embed").values.tolist()


@pytest.mark.parametrize("what", ["table", "spectrum"])
def test_every_key_of_a_document_stands_on_the_page_of_documents(run, what):
    shown = {"table": run.table(), "spectrum": run.spectrum(10, "embed")}
    document = output_of(shown[what]).document()
    page = (Path(__file__).parents[3] / "docs" / "reference" / "json.md").read_text()
    section = page.split(f"## {document['schema']}\n")[1].split("\n## ")[0]
    inner = [key for one in document.get("statistics", [])[:1] for key in one]
    assert all(f"`{key}`" in section for key in (*document, *inner))
