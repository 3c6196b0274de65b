"""The document as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from spectra_cli.render.forms.registry import Form


def as_json(document: Mapping[str, Any]) -> str:
    """A document as JSON text, in full precision; a NaN in it is a defect, and raises."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


FORM = Form(write=lambda output, stream: stream.write(as_json(output.document())), shows_tables=False)
