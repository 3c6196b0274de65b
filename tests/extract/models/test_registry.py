import pytest

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.registry import FAMILIES, find_family
from spectra_cli.extract.models.transformers.layouts import LAYOUTS


@pytest.mark.parametrize(
    ("model_type", "family"),
    [
        *((t, n) for n, f in LAYOUTS.items() for t in f.model_types),
        ("xglm", "generic"),
    ],
)
def test_huggingface_families_go_by_model_type(header_of, model_type, family):
    assert find_family(header_of({"model_type": model_type}, {}, format="huggingface")) is FAMILIES[family]


def test_nanogpt_files_go_by_their_format(header_of):
    assert find_family(header_of({"layout": "bare"}, {}, format="nanogpt")) is FAMILIES["nanogpt"]


def test_what_nobody_reads_is_named(header_of):
    with pytest.raises(ModelError, match=r"format 'onnx', model_type 'x'.*known families: nanogpt, .*llama"):
        find_family(header_of({"model_type": "x"}, {}, format="onnx"))
