"""Which form a command is asked for."""

from __future__ import annotations

import pytest

from spectra_cli.cli.groups.output import OutputOptions
from spectra_cli.core.errors import UsageError
from spectra_cli.render.forms.registry import FORMS


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_asked_for_by_its_word(form):
    assert OutputOptions(form=form).resolve() == form


def test_a_table_is_the_default_and_json_has_an_option_of_its_own():
    assert OutputOptions().resolve() == "table"
    assert (
        OutputOptions(as_json=True).resolve() == OutputOptions(as_json=True, form="json").resolve() == "json"
    )


@pytest.mark.parametrize("form", FORMS.keys() - {"json"})
def test_two_forms_are_refused(form):
    with pytest.raises(UsageError, match=f"--json contradicts --format {form}"):
        OutputOptions(as_json=True, form=form).resolve()


def test_an_unknown_form_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=f"--format yaml: expected one of {', '.join(FORMS)}"):
        OutputOptions(form="yaml").resolve()
