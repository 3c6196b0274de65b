import pytest

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.nanogpt.arguments import settled
from spectra_cli.extract.models.nanogpt.structure import Seen, check_stated, shown_by_tensors


def seen(shapes, **more):
    return Seen(shapes=shapes, arguments={}, where="/runs/a.pt", **more)


def shapes_of(state):
    return {n: tuple(t.shape) for n, t in state.items()}


@pytest.mark.parametrize(
    ("variant", "features"),
    [
        ("3", {"num_positions": 16, "fused_qkv": True, "qk_norm": False, "embed_norm": False}),
        ("4", {"attn_proj_bias": True, "num_positions": None, "qk_norm": True}),
        ("nb", {"norm": "layer", "norm_bias": True, "mlp_bias": True, "activation": "gelu"}),
    ],
)
def test_names_and_shapes_show_the_structure(decoder_state, variant, features):
    config, notices = shown_by_tensors(seen(shapes_of(decoder_state(variant)), tied=True))
    assert {f: getattr(config, f) for f in features} == features
    assert (config.n_layer, config.n_embd, config.vocab_size, config.mlp_width) == (2, 32, 61, 128)
    assert notices == ()


def test_a_first_block_without_attention_hides_nothing(decoder_state):
    shapes = {n: s for n, s in shapes_of(decoder_state("6")).items() if "h.0.attn" not in n}
    shapes |= {"transformer.h.1.attn.mix": (2,), "transformer.h.0.lambdas": (2,)}
    config, _ = shown_by_tensors(seen(shapes, tied=False))
    assert config.attention_free == {0}
    assert config.value_mix == "sparse"


def test_a_missing_attention_is_no_design_before_the_sparse_variants(decoder_state):
    shapes = {n: s for n, s in shapes_of(decoder_state("6")).items() if "h.1.attn" not in n}
    assert shown_by_tensors(seen(shapes, tied=False))[0].attention_free == frozenset()


@pytest.mark.parametrize("number", [5, 10**8])
def test_layers_that_are_not_there_are_not_counted(decoder_state, number):
    shapes = shapes_of(decoder_state("6"))
    far = {name.replace("h.1.", f"h.{number}."): shape for name, shape in shapes.items()}
    with pytest.raises(ModelError, match="2 layers are not numbered 0 to 1"):
        shown_by_tensors(seen(far, tied=False))


def test_a_number_of_5000_digits_is_no_layer(decoder_state):
    shapes = shapes_of(decoder_state("6")) | {f"transformer.h.{'1' * 5000}.mlp.c_fc.weight": (1, 1)}
    assert shown_by_tensors(seen(shapes, tied=False))[0].n_layer == 2


def test_something_else_is_refused():
    with pytest.raises(ModelError, match=r"no NanoGPT-style decoder: .* found no tensors"):
        shown_by_tensors(seen({}))


def test_a_stated_tie_is_checked_once_the_weights_are_read(decoder_state):
    shapes = shapes_of(decoder_state("6"))
    for tied, ok in ((None, True), (True, True), (False, False)):
        known = Seen(shapes=shapes, arguments={"tied": True}, where="x.pt", tied=tied)
        shown, _ = shown_by_tensors(known)
        said = settled(known.arguments, {"config": "args.json"}, toy=False)
        if ok:
            check_stated(known, said, shown)
        else:
            with pytest.raises(
                ModelError, match=r"tied is True by args\.json, but its tensors are those of tied = False"
            ):
                check_stated(known, said, shown)
