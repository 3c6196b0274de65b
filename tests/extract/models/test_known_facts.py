import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.extract.models.known_facts import require_known
from spectra_cli.extract.models.nanogpt.arguments import SETTINGS


def refuse(header_of, name, config, *, kind, where="--set"):
    header = header_of(config, {}, format=kind)
    require_known({name: where}, header, frozenset(config), checkpoints="run")


@pytest.mark.parametrize(
    ("kind", "config", "misspelt", "meant"),
    [
        ("nanogpt", {"n_head": 4}, "n_haed", "n_head"),
        ("nanogpt", {}, "atn_scale", "attn_scale"),
        ("nanogpt", {"learning_rate": 1}, "learning_rate", None),  # in the file, and read by no model
        ("nanochat", {"n_head": 4}, "rotary_bas", "rotary_base"),
        ("huggingface", {"model_type": "llama"}, "rms_norm_ep", "rms_norm_eps"),
        ("huggingface", {"model_type": "gpt2"}, "num_attention_head", "num_attention_heads"),
        ("llmc", {"n_head": 4}, "n_heat", "n_head"),
    ],
)
def test_a_misspelt_fact_is_refused_with_the_nearest_and_the_list(header_of, kind, config, misspelt, meant):
    with pytest.raises(UsageError, match=rf"^--set: model\.{misspelt} is nothing .* of run") as caught:
        refuse(header_of, misspelt, config, kind=kind)
    assert (f"did you mean {meant}?" in str(caught.value)) == (meant is not None)
    if kind == "nanogpt":
        assert all(name in str(caught.value) for name in SETTINGS)
    if meant is not None:
        refuse(header_of, meant, config, kind=kind)


def test_the_file_that_states_it_is_named(header_of):
    with pytest.raises(UsageError, match=r"^/runs/run\.toml: model\.n_haed"):
        refuse(header_of, "n_haed", {}, kind="nanogpt", where="/runs/run.toml")


def test_what_only_the_model_s_own_code_knows_is_let_through(header_of):
    refuse(header_of, "anything", {"model_type": "of_their_own"}, kind="huggingface")
    # a name that the file has, though the class does not
    refuse(header_of, "rope_fancy", {"model_type": "llama", "rope_fancy": 1}, kind="huggingface")
