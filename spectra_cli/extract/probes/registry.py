"""Token sources by name, in the order in which a file's suffix is looked up."""

from __future__ import annotations

from collections.abc import Mapping

from spectra_cli.extract.probes.shards import HEADERLESS_UINT16, HEADERLESS_UINT32, SHARDS
from spectra_cli.extract.probes.source import ProbeSource
from spectra_cli.extract.probes.synthetic import SYNTHETIC
from spectra_cli.extract.probes.tensors import NUMPY_ARRAY, PT_TENSOR, SAFETENSORS_TENSOR
from spectra_cli.extract.probes.text import JSONL, TEXT

PROBES: Mapping[str, ProbeSource] = {
    "bin": SHARDS,
    "bin-uint16": HEADERLESS_UINT16,
    "bin-uint32": HEADERLESS_UINT32,
    "npy": NUMPY_ARRAY,
    "pt": PT_TENSOR,
    "safetensors": SAFETENSORS_TENSOR,
    "jsonl": JSONL,
    "text": TEXT,
    "synthetic": SYNTHETIC,
}
