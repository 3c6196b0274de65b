"""Every result is shown by the one registry, and every line of the registry is a result that exists."""

from __future__ import annotations

from importlib import import_module

import pytest

from spectra_cli.api.shown import OUTPUTS, document, output_of, table
from spectra_cli.core.errors import UsageError
from spectra_cli.core.shown import Shown
from spectra_cli.workflows.show import show
from spectra_cli.workflows.validate import validate


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
    assert text.startswith(f"{seeded} is valid: 0 error(s)")
    assert str(validate(seeded)) == text
