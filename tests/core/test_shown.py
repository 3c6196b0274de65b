from __future__ import annotations

from dataclasses import dataclass

import pytest

from spectra_cli.core import shown
from spectra_cli.core.shown import HTML, TEXT, Shown, show_by


@dataclass(frozen=True, slots=True, repr=False)
class Found(Shown):
    number: int

    def __format__(self, _: str) -> str:
        return str(self.number)


@pytest.fixture(autouse=True)
def nobody_writes(monkeypatch):
    monkeypatch.setattr(shown, "_writers", {})


def test_nobody_writes_it_and_it_is_printed_as_any_object():
    assert repr(Found(3)).startswith("<")
    assert Found(3)._repr_html_() is None
    assert Found(3)._repr_mimebundle_() == {}


def test_it_is_written_in_every_form_that_there_is():
    show_by({TEXT: lambda one: f"{one:d}", HTML: lambda one: f"<p>{one:d}</p>"})
    assert repr(Found(3)) == str(Found(3)) == "3"
    assert Found(3)._repr_html_() == "<p>3</p>"
    assert Found(3)._repr_mimebundle_() == {TEXT: "3", HTML: "<p>3</p>"}
    assert Found(3)._repr_mimebundle_(include=[TEXT]) == {TEXT: "3"}
    assert Found(3)._repr_mimebundle_(exclude=[TEXT]) == {HTML: "<p>3</p>"}
