"""Every form of output by the word that `--format` takes. A new one is a file, a line here, and a test."""

from __future__ import annotations

from collections.abc import Mapping

from spectra_cli.render.forms.csv import CSV
from spectra_cli.render.forms.form import Form
from spectra_cli.render.forms.json import JSON
from spectra_cli.render.forms.markdown import MARKDOWN
from spectra_cli.render.forms.terminal import TERMINAL

FORMS: Mapping[str, Form] = {
    "table": TERMINAL,
    "json": JSON,
    "csv": CSV,
    "markdown": MARKDOWN,
}
