"""Adapters that PEFT writes, against the model that PEFT makes of them."""

import json
import shutil
import warnings
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from spectra_cli.core.errors import CheckpointError, UsageError
from spectra_cli.extract.checkpoints.adapter.source import AdapterFormat
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.digest import state_digest
from spectra_cli.extract.models.registry import find_family
from tests.extract.writers.adapters import adapt, bare_gpt2, bare_llama, lora, randomise

CPU = torch.device("cpu")
TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
# Sums of a few dozen float32 products of order one, once in PEFT's order and once in ours.
WEIGHT_TOLERANCE = 1e-6
LOGIT_TOLERANCE = 1e-5


LAYER_0 = r"model.layers.0.self_attn.q_proj"
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "lora": (bare_llama, {}),
    "one pattern": (bare_llama, {"target_modules": r".*layers\.1\.(self_attn\.[kv]_proj|mlp\.up_proj)"}),
    "all linear": (bare_llama, {"target_modules": "all-linear"}),
    "some layers": (bare_llama, {"layers_to_transform": [1], "layers_pattern": "layers"}),
    "rslora": (bare_llama, {"use_rslora": True}),
    "patterns": (bare_llama, {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {f"^{LAYER_0}": 7}}),
    "dora": (bare_llama, {"use_dora": True}),
    "dora and rslora": (bare_llama, {"use_dora": True, "use_rslora": True, "rank_pattern": {"down_proj": 5}}),
    "all biases": (bare_llama, {"bias": "all"}),
    "adapted biases": (bare_llama, {"bias": "lora_only"}),
    "bias of B": (bare_llama, {"target_modules": ["q_proj", "v_proj"], "lora_bias": True}),
    "saved modules": (bare_llama, {"modules_to_save": ["lm_head", "norm"]}),
    "embedding": (bare_llama, {"target_modules": ["embed_tokens", "q_proj"]}),
    "embedding, dora": (bare_llama, {"target_modules": ["embed_tokens", "q_proj"], "use_dora": True}),
    "head": (bare_llama, {"target_modules": ["lm_head"]}),
    "tied, head": (lambda: bare_llama(tied=True), {"target_modules": ["lm_head", "q_proj"]}),
    "tied, embedding": (lambda: bare_llama(tied=True), {"target_modules": ["embed_tokens"]}),
    "tied, saved head": (lambda: bare_llama(tied=True), {"modules_to_save": ["lm_head"]}),
    "conv1d": (bare_gpt2, {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "conv1d, square only": (bare_gpt2, {"target_modules": ["attn.c_proj"], "fan_in_fan_out": True}),
    "conv1d, dora": (bare_gpt2, {"target_modules": ["c_attn", "c_proj"], "use_dora": True}),
    "conv1d and tied head": (bare_gpt2, {"target_modules": ["attn.c_proj", "lm_head"]}),
    "conv1d, embeddings": (bare_gpt2, {"target_modules": ["c_attn", "wte", "wpe"]}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_merged_model_is_pefts(tmp_path, case):
    build, settings = CASES[case]
    adapted = adapt(build, lora(**settings), tmp_path / "base", tmp_path / "adapter")
    with torch.no_grad():
        expected = adapted(TOKENS).logits
    source = find_source(str(tmp_path / "adapter"))
    (ref,) = source.refs()
    header, state = source.header(ref), source.open(ref)
    assert header.ref == ref
    assert len(header.fingerprint) == 64
    assert {n: (h.shape, h.dtype) for n, h in header.tensors.items()} == {
        n: (tuple(t.shape), t.dtype) for n, t in state.items()
    }
    assert _sizes(header.update_shapes()) == _sizes(header.updates())
    model = find_family(header).build(header, state, device=CPU)
    with torch.no_grad():
        found = model.head(model.trunk(TOKENS))
    assert (found - expected).abs().max() < LOGIT_TOLERANCE
    if "tied" not in case and case != "conv1d, embeddings":
        # of two tied matrices, PEFT's merge adds the update of one to both, which its adapted model does not
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            merged = adapted.merge_and_unload().state_dict()
        merged.pop("lm_head.weight" if build is bare_gpt2 else "", None)
        assert merged.keys() == state.keys()
        for name, tensor in merged.items():
            assert (state[name] - tensor).abs().max() < WEIGHT_TOLERANCE, name
    if "tied" in case:
        assert header.config["tie_word_embeddings"] is False
        assert any("tied in the base" in notice for notice in header.notices)
    assert header.config["adapter"] == ("DoRA" if settings.get("use_dora") else "LoRA")
    assert any("merged in float32" in notice for notice in header.notices)
    assert not any("no tensors for" in notice for notice in header.notices)


def _sizes(updates):
    return {
        name: [(t.shape, t.dtype) for t in (one.left, one.right)]
        + ([one.rescaling.base.shape, one.rescaling.magnitude.shape] if one.rescaling else [])
        for name, one in updates.items()
    }


TIED = {
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "head": {"target_modules": ["lm_head", "q_proj"]},
    "both": {"target_modules": ["embed_tokens", "lm_head"]},
    "saved": {"modules_to_save": ["embed_tokens"]},
}


@pytest.mark.parametrize("case", TIED)
def test_matrices_that_peft_keeps_tied_stay_one(tmp_path, case):
    settings = lora(ensure_weight_tying=True, **TIED[case])
    adapted = adapt(lambda: bare_llama(tied=True), settings, tmp_path / "base", tmp_path / "adapter")
    source = find_source(str(tmp_path / "adapter"))
    (ref,) = source.refs()
    header = source.header(ref)
    assert "lm_head.weight" not in header.tensors
    assert header.config["tie_word_embeddings"] is True
    model = find_family(header).build(header, source.open(ref), device=CPU)
    (embed,) = (view for view in model.matrices if view.site.layer is None)
    assert embed.aliases == ("lm_head.weight",)
    with torch.no_grad():
        difference = model.head(model.trunk(TOKENS)) - adapted(TOKENS).logits
    assert difference.abs().max() < LOGIT_TOLERANCE


def test_dora_cannot_keep_them_tied(tmp_path):
    settings = lora(ensure_weight_tying=True, target_modules=["embed_tokens"], use_dora=True)
    adapted = adapt(lambda: bare_llama(tied=True), settings, tmp_path / "base", tmp_path / "adapter")
    source = find_source(str(tmp_path / "adapter"))
    header = source.header(source.refs()[0])
    assert header.config["tie_word_embeddings"] is False
    model = find_family(header).build(header, source.open(header.ref), device=CPU)
    with torch.no_grad():
        difference = model.head(model.trunk(TOKENS)) - adapted(TOKENS).logits
    assert difference.abs().max() < LOGIT_TOLERANCE


def test_an_update_over_a_model_saved_without_its_head(tmp_path):
    adapted = adapt(bare_gpt2, lora(target_modules=["c_attn"]), tmp_path / "base", tmp_path / "adapter")
    path = tmp_path / "base" / "model.safetensors"
    stored = load_file(path)
    save_file({n.removeprefix("transformer."): t for n, t in stored.items()}, path, {"format": "pt"})
    source = find_source(str(tmp_path / "adapter"))
    state = source.open(source.refs()[0])
    expected = adapted.merge_and_unload().state_dict()["transformer.h.1.attn.c_attn.weight"]
    assert (state["h.1.attn.c_attn.weight"] - expected).abs().max() < WEIGHT_TOLERANCE


def test_a_base_of_another_format(tmp_path):
    weight = torch.randn(6, 4)
    torch.save({"model": {"_orig_mod.c.weight": weight}, "model_args": {}}, tmp_path / "ckpt.pt")
    folder = tmp_path / "adapter"
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "base_model_name_or_path": "../ckpt.pt"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    a, b = torch.randn(1, 4), torch.randn(6, 1)
    prefix = "base_model.model.c.lora_"
    save_file({f"{prefix}A.weight": a, f"{prefix}B.weight": b}, folder / "adapter_model.safetensors")
    source = find_source(str(folder))
    (ref,) = source.refs()
    header = source.header(ref)
    assert header.named_as == "nanogpt"
    assert any(notice.startswith("base: ") and "_orig_mod" in notice for notice in header.notices)
    assert not any("tokens seen" in notice for notice in header.notices)
    torch.testing.assert_close(source.open(ref)["c.weight"], weight + 2 * b @ a)


def test_half_precision_is_merged_in_float32(tmp_path):
    adapt(lambda: bare_llama().bfloat16(), lora(), tmp_path / "base", tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    halved = {name: tensor.bfloat16() for name, tensor in load_file(path).items()}
    save_file(halved, path, {"format": "pt"})
    source = find_source(str(tmp_path / "adapter"))
    state = source.open(source.refs()[0])
    name = "model.layers.0.self_attn.q_proj"
    a, b = (halved[f"base_model.model.{name}.lora_{x}.weight"].double() for x in "AB")
    weight = load_file(tmp_path / "base" / "model.safetensors")[f"{name}.weight"]
    exact = weight.double() + 5 / 3 * b @ a
    assert weight.dtype == torch.bfloat16
    assert state[f"{name}.weight"].dtype == torch.float32
    # float32 sums of three products; bfloat16 would be 4e-3 off
    assert (state[f"{name}.weight"] - exact).abs().max() < 1e-6
    assert state["model.layers.0.self_attn.k_proj.weight"].dtype == torch.bfloat16


def test_a_resized_vocabulary(tmp_path):
    torch.manual_seed(0)
    bare_llama(tied=True).save_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.resize_token_embeddings(44)
        adapted = peft.get_peft_model(model, lora())
        randomise(adapted)
        adapted.save_pretrained(tmp_path / "adapter")
    source = find_source(str(tmp_path / "adapter"))
    (ref,) = source.refs()
    header = source.header(ref)
    model = find_family(header).build(header, source.open(ref), device=CPU)
    assert model.vocab_size == 44
    assert "lm_head.weight" not in header.tensors  # as tied as it was
    with torch.no_grad():
        expected = adapted.eval()(TOKENS).logits
        assert (model.head(model.trunk(TOKENS)) - expected).abs().max() < LOGIT_TOLERANCE


def test_pickled_adapters_are_read_and_bombs_are_not(tmp_path, bomb):
    adapted = adapt(bare_llama, lora(), tmp_path / "base", tmp_path / "adapter")
    stored = tmp_path / "adapter" / "adapter_model.safetensors"
    torch.save(load_file(stored), tmp_path / "adapter" / "adapter_model.bin")
    stored.unlink()
    source = find_source(str(tmp_path / "adapter"))
    state = source.open(source.refs()[0])
    for name, tensor in adapted.merge_and_unload().state_dict().items():
        assert (state[name] - tensor).abs().max() < WEIGHT_TOLERANCE
    payload, target = bomb
    torch.save({"w": payload}, tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="Nothing of it was executed"):
        source.header(source.refs()[0])
    assert not target.exists()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A base, and a run of two adapters over it as Trainer leaves them."""
    folder = tmp_path_factory.mktemp("adapters")
    for step in (100, 20):
        checkpoint = folder / "run" / f"checkpoint-{step}"
        adapt(bare_llama, lora(), folder / "base", checkpoint)
        tensors = load_file(checkpoint / "adapter_model.safetensors")
        scaled = {name: step / 100 * tensor for name, tensor in tensors.items()}
        save_file(scaled, checkpoint / "adapter_model.safetensors", {"format": "pt"})
        state = {
            "global_step": step,
            "num_input_tokens_seen": step * 64,
            "log_history": [{"loss": 2.5, "step": step}],
        }
        (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    return folder


@pytest.fixture
def run(pristine, tmp_path):
    """A copy to break; the adapters still name the pristine base."""
    return shutil.copytree(pristine / "run", tmp_path / "run")


def test_a_series_in_the_order_of_its_steps(run):
    source = find_source(str(run))
    assert [ref.key for ref in source.refs()] == ["step20", "step100"]
    assert {(ref.format, ref.run) for ref in source.refs()} == {("adapter", "run")}
    header = source.header(source.refs()[0])
    assert (header.tokens_seen, header.train_loss, header.eval_loss) == (1280, 2.5, None)
    assert header.sources["tokens_seen"] == "trainer_state.json"
    assert (header.stated_step, header.batch_size_tokens) == (20, 64)
    assert header.named_as == "huggingface"
    assert header.base_uri == header.sources["config"]
    states = [source.open(ref) for ref in source.refs()]
    name = "model.layers.0.mlp.down_proj.weight"
    assert not torch.equal(states[0][name], states[1][name])
    assert torch.equal(states[0]["lm_head.weight"], states[1]["lm_head.weight"])


def test_an_adapter_beside_its_checkpoints_is_the_last(run):
    for file in (run / "checkpoint-100").iterdir():
        shutil.copy(file, run)
    assert [(r.key, r.label) for r in find_source(str(run)).refs()] == [
        ("step20", ""),
        ("step100", ""),
        ("step100-final", "final"),
    ]


def test_unfinished_folders_are_named(run):
    shutil.copytree(run / "checkpoint-20", run / "tmp-checkpoint-300")
    source = find_source(str(run))
    assert [ref.step for ref in source.refs()] == [20, 100]
    for ref in source.refs():
        assert "unfinished folders are not read: tmp-checkpoint-300" in source.header(ref).notices


def test_a_half_written_one_is_among_the_others(run):
    (run / "checkpoint-20" / "adapter_config.json").unlink()
    (run / "checkpoint-20" / "adapter_model.safetensors").unlink()
    source = find_source(str(run))
    assert [ref.step for ref in source.refs()] == [20, 100]
    with pytest.raises(CheckpointError, match=r"checkpoint-20.*adapter_config\.json"):
        source.header(source.refs()[0])
    source.header(source.refs()[1])


def test_the_fingerprint_is_of_adapter_and_base(pristine, run, tmp_path):
    base = shutil.copytree(pristine / "base", tmp_path / "base")
    source = find_source(str(run), base=str(base))
    first, second = (source.header(ref).fingerprint for ref in source.refs())
    assert first != second
    (base / "model.safetensors").touch()
    assert find_source(str(run), base=str(base)).header(source.refs()[0]).fingerprint != first


def test_a_base_for_what_is_no_adapter(pristine):
    with pytest.raises(UsageError, match=r"--base somewhere.*huggingface"):
        find_source(str(pristine / "base"), base="somewhere")


def test_a_base_with_adapters_inside_is_still_a_base(pristine, run, tmp_path):
    base = shutil.copytree(pristine / "base", tmp_path / "base")
    shutil.copytree(run / "checkpoint-20", base / "checkpoint-20")
    source = find_source(str(base / "checkpoint-20"), base=str(base))
    assert "lm_head.weight" in source.open(source.refs()[0])


def test_the_bare_format_reads_huggingface_bases(run):
    source = AdapterFormat().find(str(run))
    assert source.header(source.refs()[0]).named_as == "huggingface"
    assert AdapterFormat().find(str(run / "checkpoint-20" / "adapter_config.json")) is None
    assert AdapterFormat().find(str(run.parent)) is None


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda name: f"module.{name}",
        lambda name: name.replace("base_model.model.", "base_model.model._orig_mod."),
        lambda name: name.replace("layers.0.", "layers.0._checkpoint_wrapped_module."),
        lambda name: name.replace(".weight", ".default.weight"),
    ],
)
def test_names_that_wrappers_leave_on_an_adapter(tmp_path, wrapped):
    adapt(bare_llama, lora(use_dora=True), tmp_path / "base", tmp_path / "plain")
    weights = load_file(tmp_path / "plain" / "adapter_model.safetensors")
    shutil.copytree(tmp_path / "plain", tmp_path / "wrapped")
    renamed = {wrapped(name): tensor for name, tensor in weights.items()}
    assert renamed.keys() != weights.keys()
    save_file(renamed, tmp_path / "wrapped" / "adapter_model.safetensors")
    states = []
    for folder in ("plain", "wrapped"):
        source = find_source(str(tmp_path / folder))
        (ref,) = source.refs()
        states.append(source.open(ref))
        assert source.header(ref).updates().keys()
    assert state_digest(states[0]) == state_digest(states[1])
