"""Every result is shown by the one registry, and every line of the registry is a result that exists."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import pytest

from spectra_cli.api.shown import OUTPUTS, document, output_of, table
from spectra_cli.api.values.run import open as open_run
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.core.shown import Shown
from spectra_cli.render.output import Output
from spectra_cli.render.table import Line, Table
from spectra_cli.workflows.show import show
from spectra_cli.workflows.validate import validate
from tests.builders.every_form import html_texts
from tests.builders.seeded import seeded_checkpoint


@pytest.mark.parametrize(("result", "home"), OUTPUTS.items())
def test_a_line_is_a_result_and_a_function(result, home):
    module, _, name = result.rpartition(".")
    kind = getattr(import_module(module), name)
    assert issubclass(kind, Shown)
    assert callable(import_module(home).output)
    # its repr is its text, not that of its fields
    assert kind.__repr__ is Shown.__repr__


def test_every_result_has_a_line():
    for home in OUTPUTS:
        import_module(home.rpartition(".")[0])
    found = {f"{kind.__module__}.{kind.__qualname__}" for kind in Shown.__subclasses__()}
    assert {name for name in found if name.startswith("spectra_cli.")} == set(OUTPUTS)


def test_a_table_of_a_result_is_its_rows(seeded):
    summary = show(seeded)
    output = output_of(summary)
    found = table(summary)
    assert found.columns == tuple(output.columns)
    assert [row["value"] for row in found] == [row["value"] for row in output.rows()]
    assert document(summary) == output.document()


def test_anything_else_is_refused():
    with pytest.raises(UsageError, match="dict is no result of spectra"):
        table({})


def test_printed_a_result_is_what_its_command_prints(seeded):
    text = repr(validate(seeded))
    assert text.startswith(f"{seeded} is valid: 0 errors")
    assert str(validate(seeded)) == text


def test_in_a_notebook_a_result_is_what_its_command_prints(run, seeded):
    for result in (show(seeded), run, run.table(), run.spectrum(10, "embed"), validate(seeded)):
        bundle = result._repr_mimebundle_()
        assert bundle.keys() == {"text/plain", "text/html"}
        assert bundle["text/html"] == result._repr_html_()
        assert bundle["text/plain"] == repr(result)
        told = [" ".join(" ".join(row).split()) for row in html_texts(bundle["text/html"])]
        assert told
        assert all(set(row.split()) <= _words(output_of(result)) for row in told)


def _words(output: Output) -> set[str]:
    """Every word of its tables."""
    found: set[str] = set()
    for part in output.tables():
        texts = [part.text] if isinstance(part, Line) else [part.title, *(n.text for n in part.notes)]
        if isinstance(part, Table):
            texts += [column.title for column in part.columns]
            texts += [cell for row in part.rows for cell in row]
        found |= {word for text in texts for word in text.split()}
    return found


def test_names_and_metadata_from_outside_become_no_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    checkpoint = seeded_checkpoint(0)
    ref = replace(checkpoint.ref, run=evil, label=evil, uri=f"/runs/{evil}")
    info = replace(checkpoint.info, architecture=evil, notices=(evil,), facts={"notes": evil})
    path = tmp_path / "<b>a.spectra.h5"
    write_archive(path, [replace(checkpoint, ref=ref, info=info)])
    run = open_run(path)
    for result in (run, run.checkpoints, run.table(), show(path), validate(path), table(show(path))):
        page = result._repr_html_()
        assert "<script" not in page
        assert "<b>" not in page
        assert html_texts(page)  # which fails on an element or attribute that is not ours
    assert "&lt;script&gt;" in run._repr_html_()
