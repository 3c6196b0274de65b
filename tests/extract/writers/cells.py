"""A checkpoint for every cell of docs/coverage.toml, written by what writes such checkpoints.

`CELLS` has builders by (format, family) and by variant, "" the plain one.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import torch
from torch import nn
from torch.distributed.checkpoint.filesystem import SerializationFormat
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.extract.writers import adapters, decoder, gguf, ladder, llmc, mixtures, nanochat, torchtitan
from tests.extract.writers.distributed import save
from tests.extract.writers.float8 import quantised
from tests.extract.writers.fused import cuts_of
from tests.extract.writers.huggingface import CONFIGS, random_model
from tests.extract.writers.reference import WritersModel, loaded, of_equations, of_module
from tests.extract.writers.state_space import CONFIGS as STATE_SPACE


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """A checkpoint on disk, and what it means.

    Attributes:
        path: as a user would name it to `spectra scan`.
        model: its writer's.
        length: tokens a sequence; base: for `--base`.
        logit_error: of float32 logits, of their largest; spectrum_error: of a float64 scan, of each
            spectrum's largest value.
        untappable: components that the writer uses in ways that no tap sees.
    """

    path: str
    model: WritersModel
    length: int = 9
    base: str = ""
    logit_error: float = 1e-5
    # float64 through a Gram matrix: the root of its rounding; some softmaxes stay in float32
    spectrum_error: float = 1e-6
    untappable: frozenset[str] = frozenset()


# Builds in a folder; the second argument adds a revision to the hub's cache.
AddRevision = Callable[[str, str, Path], Any]
Builder = Callable[[Path, AddRevision], Written]


# ----------------------------------------------------------------------------- transformers


def _tiny(name: str) -> PreTrainedModel:
    return random_model({"model_type": name, **CONFIGS[name]})


def _dense(name: str) -> Builder:
    def build(folder: Path, _add: AddRevision) -> Written:
        module = _tiny(name)
        module.save_pretrained(folder / "checkpoint-5")
        return Written(path=str(folder), model=of_module(module, cuts=cuts_of(name)))

    return build


def _mixture(name: str) -> Builder:
    def build(folder: Path, _add: AddRevision) -> Written:
        module = random_model({"model_type": name, **mixtures.CONFIGS[name]}, spread=0.3)
        module.save_pretrained(folder)
        return Written(path=str(folder), model=of_module(module, expert_of=mixtures.of_writer))

    return build


def _state_space(name: str, *untappable: str) -> Builder:
    def build(folder: Path, _add: AddRevision) -> Written:
        module = random_model({"model_type": name, **STATE_SPACE[name]}, spread=0.1)
        module.save_pretrained(folder)
        return Written(path=str(folder), model=of_module(module), untappable=frozenset(untappable))

    return build


def _half(folder: Path, _add: AddRevision) -> Written:
    module = _tiny("llama")
    rounded = copy.deepcopy(module).bfloat16()
    rounded.save_pretrained(folder)
    meant = {name: tensor.float() for name, tensor in rounded.state_dict().items()}
    return Written(path=str(folder), model=of_module(loaded(module, meant)))


def _pickled(folder: Path, _add: AddRevision) -> Written:
    """In two shards with an index, as transformers wrote before safetensors."""
    module = _tiny("llama")
    module.config.save_pretrained(folder)
    state = module.state_dict()
    placed = {name: f"pytorch_model-{i % 2 + 1:05}-of-00002.bin" for i, name in enumerate(state)}
    for shard in set(placed.values()):
        torch.save({n: t for n, t in state.items() if placed[n] == shard}, folder / shard)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": placed}))
    return Written(path=str(folder), model=of_module(module))


def _float8(folder: Path, _add: AddRevision) -> Written:
    module, block = _tiny("llama"), (16, 16)
    stored, meant = quantised(module, "block", block=block)
    said = {"quant_method": "fp8", "weight_block_size": block, "activation_scheme": "dynamic"}
    (folder / "config.json").write_text(json.dumps(module.config.to_dict() | {"quantization_config": said}))
    torch.save(stored, folder / "pytorch_model.bin")
    return Written(path=str(folder), model=of_module(loaded(module, meant)))


def _hub(name: str, *revisions: str, wanted: str) -> Builder:
    """A series of the hub; the last of the revisions is the model."""

    def build(folder: Path, add: AddRevision) -> Written:
        module = _tiny(name)
        for number, revision in enumerate(revisions, 1):
            scaled = copy.deepcopy(module)
            for tensor in scaled.state_dict().values():
                tensor.mul_(number / len(revisions))
            scaled.save_pretrained(folder / revision, max_shard_size="5KB" if number % 2 else "1GB")
            add("org/tiny", revision, folder / revision)
        return Written(path=f"org/tiny@{wanted}", model=of_module(module, cuts=cuts_of(name)))

    return build


# ----------------------------------------------------------------------------- decoders of the paper's family


def _equations_of_decoder(state: dict[str, torch.Tensor], variant: str) -> WritersModel:
    cuts = cuts_of("gpt2") if variant in ("3", "n", "nb") else {}
    return of_equations(state, lambda w, ids, seen: decoder.reference(w, ids, variant, seen), cuts=cuts)


def _nanogpt(folder: Path, _add: AddRevision) -> Written:
    """As nanoGPT's train.py saves it, of a compiled model with biases."""
    state = decoder.random_state("nb")
    sizes = {"n_layer": 2, "n_head": decoder.NUM_HEADS, "n_embd": 32, "block_size": 16, "vocab_size": 61}
    content = {
        "model": {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "model_args": sizes | {"bias": True, "dropout": 0.0},
        "iter_num": 100,
        "best_val_loss": torch.tensor(3.5),
        "config": {"gradient_accumulation_steps": 5, "batch_size": 2, "block_size": 16},
    }
    torch.save(content, folder / "ckpt.pt")
    return Written(path=str(folder), model=_equations_of_decoder(state, "nb"))


def _save_for_the_paper(folder: Path, state: dict[str, torch.Tensor], args: dict[str, Any]) -> None:
    content = {"step": 100, "model": state, "args": args, "derived": {"tokens_per_step": 32}, "epoch": 0.5}
    content |= {"optimizer": {}, "val_loss": 3.0, "target_reached": False}
    torch.save(content, folder / "checkpoint_step000100.pt")


def _early(variant: str) -> Builder:
    def build(folder: Path, _add: AddRevision) -> Written:
        state = decoder.random_state(variant)
        _save_for_the_paper(folder, state, {"n_head": decoder.NUM_HEADS})
        return Written(path=str(folder), model=_equations_of_decoder(state, variant))

    return build


def _later(variant: str, **limits: float) -> Builder:
    def build(folder: Path, _add: AddRevision) -> Written:
        state = ladder.state_of(variant)
        _save_for_the_paper(folder, state, ladder.arguments_of(variant))

        def forward(w: Any, ids: torch.Tensor, seen: list[torch.Tensor]) -> torch.Tensor:
            return ladder.reference_logits(w, tuple(ids.tolist()), variant, ladder.epsilon(variant), seen)

        return Written(path=str(folder), model=of_equations(state, forward), length=ladder.T, **limits)

    return build


def _nanochat(generation: str) -> Builder:
    def build(folder: Path, _add: AddRevision) -> Written:
        state, pattern = nanochat.tensors(generation), nanochat.GENERATIONS[generation][0]
        torch.save({f"_orig_mod.{n}": t for n, t in state.items()}, folder / "model_000100.pt")
        config = nanochat.ARGUMENTS | ({"window_pattern": pattern} if pattern else {})
        said = {"step": 100, "val_bpb": 0.9, "model_config": config, "user_config": {"depth": 3}}
        (folder / "meta_000100.json").write_text(json.dumps(said))
        model = of_equations(state, lambda w, ids, seen: nanochat.reference(w, generation, ids, seen))
        return Written(path=str(folder), model=model)

    return build


# ----------------------------------------------------------------------------- adapters

# Merged in float32, where the writer's model here merges in float64: rounding of each weight.
_MERGED = {"spectrum_error": 1e-5}


def _merged(adapted: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own
        return copy.deepcopy(adapted).double().merge_and_unload()


def _adapter(build_base: Callable[[], nn.Module], name: str, **settings: Any) -> Builder:
    def build(folder: Path, _add: AddRevision) -> Written:
        adapted = adapters.adapt(
            build_base, adapters.lora(**settings), folder / "base", folder / "run" / "checkpoint-7"
        )
        before = AutoModelForCausalLM.from_pretrained(folder / "base").double()
        model = of_module(_merged(adapted), before=dict(before.named_parameters()), cuts=cuts_of(name))
        return Written(path=str(folder / "run"), model=model, **_MERGED)

    return build


def _adapter_of_nanogpt(folder: Path, _add: AddRevision) -> Written:
    """PEFT over a module of the user's, whose checkpoint is a file of nanoGPT's."""
    state = decoder.random_state("n")
    torch.save({"model": state, "model_args": {"n_head": decoder.NUM_HEADS}}, folder / "ckpt.pt")
    base = _with_linear_maps(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own: no configuration
        adapted = peft.get_peft_model(base, adapters.lora(target_modules=["c_attn", "mlp.c_proj"]))
        adapters.randomise(adapted)
        adapted.save_pretrained(folder / "adapter", save_embedding_layers=False)
    merged = _merged(adapted).state_dict()
    tied = {"lm_head.weight": merged["transformer.wte.weight"]}
    return Written(
        path=str(folder / "adapter"),
        base=str(folder / "ckpt.pt"),
        model=of_equations(
            merged | tied,
            lambda w, ids, seen: decoder.reference(w, ids, "n", seen),
            cuts=cuts_of("gpt2"),
            before={name: tensor.double() for name, tensor in state.items()},
        ),
        **_MERGED,
    )


def _with_linear_maps(state: dict[str, torch.Tensor]) -> nn.Module:
    """Modules under the names of the tensors: matrices of blocks as Linear, the others as parameters."""
    root = nn.Module()
    for name, tensor in state.items():
        *path, last, parameter = name.split(".")
        holder = root
        for part in path:
            if part not in holder._modules:
                holder.add_module(part, nn.Module())
            holder = holder.get_submodule(part)
        if tensor.ndim == 2 and ".h." in name:
            module: nn.Module = nn.Linear(tensor.shape[1], tensor.shape[0], bias=False)
        else:
            module = nn.Module()
        module.register_parameter(parameter, nn.Parameter(tensor.clone()))
        holder.add_module(last, module)
    return root


# ----------------------------------------------------------------------------- other formats


def _distributed(form: str) -> Builder:
    """As Trainer leaves an FSDP run."""

    def build(folder: Path, _add: AddRevision) -> Written:
        module = _tiny("llama")
        shards = folder / "run" / "checkpoint-500" / "pytorch_model_fsdp_0"
        save({"model": module.state_dict()}, shards, serialization_format=SerializationFormat(form))
        module.config.save_pretrained(folder / "run")
        return Written(path=str(folder / "run"), model=of_module(module))

    return build


def _torchtitan(folder: Path, _add: AddRevision) -> Written:
    state = torchtitan.tensors()
    save(state, folder / "checkpoint" / "step-20")
    (folder / "checkpoint" / "params.json").write_text(json.dumps(torchtitan.PARAMETERS))
    names = {torchtitan.in_transformers(own): own for own in state}

    def forward(w: Any, ids: torch.Tensor, seen: list[torch.Tensor]) -> torch.Tensor:
        batched: list[torch.Tensor] = []
        logits = torchtitan.reference({own: w[name] for name, own in names.items()}, ids[None], batched)
        seen.extend(stream[0] for stream in batched)
        return logits[0]

    renamed = {name: state[own] for name, own in names.items()}
    return Written(path=str(folder), model=of_equations(renamed, forward))


def _distributed_nanogpt(folder: Path, _add: AddRevision) -> Written:
    state = decoder.random_state("n")
    save({"model": state}, folder / "step-5")
    (folder / "args.json").write_text(json.dumps({"n_head": decoder.NUM_HEADS}))
    return Written(path=str(folder), model=_equations_of_decoder(state, "n"))


def _gguf(kind: Any) -> Builder:
    def build(folder: Path, _add: AddRevision) -> Written:
        module = gguf.make_llama()
        meant = gguf.write_llama(module, folder / "tiny.gguf", kind)
        return Written(path=str(folder / "tiny.gguf"), model=of_module(loaded(module, meant)))

    return build


def _gguf_gpt2(folder: Path, _add: AddRevision) -> Written:
    module = _tiny("gpt2")
    gguf.write_gpt2(module, folder / "tiny.gguf")
    return Written(path=str(folder), model=of_module(module, cuts=cuts_of("gpt2")))


def _llmc(version: int, dtype: torch.dtype) -> Builder:
    def build(folder: Path, _add: AddRevision) -> Written:
        module = _tiny("gpt2")
        llmc.write(module, folder / "model_00000100.bin", version=version, dtype=dtype)
        meant = {name: tensor.to(dtype).float() for name, tensor in module.state_dict().items()}
        return Written(path=str(folder), model=of_module(loaded(module, meant), cuts=cuts_of("gpt2")))

    return build


# ----------------------------------------------------------------------------- the table

_PLAIN = [
    *("llama", "gpt2", "gpt_neox", "gpt_neo", "gptj", "gpt_bigcode", "starcoder2", "codegen", "opt"),
    *("bloom", "falcon", "mpt", "phi", "phi3", "glm", "nemotron"),
]
# name in `huggingface.CONFIGS` -> family, where they differ
_VARIANTS = {
    "apertus": "nemotron",
    "falcon-40b": "falcon",
    "falcon-rw": "falcon",
    "gemma2-window": "llama",
    "gemma3-window": "llama",
    "gpt_bigcode-heads": "gpt_bigcode",
    "mistral-window": "llama",
    "mpt-clipped": "mpt",
    "olmo3-window": "llama",
    "opt-350m": "opt",
    "phi-normed": "phi",
    "phi3-window": "phi3",
    "qwen2-window": "llama",
    "stablelm-parallel": "llama",
}
_HUGGINGFACE: dict[tuple[str, str], dict[str, Builder]] = {
    ("huggingface", family): {"": _dense(family)}
    | {name: _dense(name) for name, its in _VARIANTS.items() if its == family}
    for family in _PLAIN
}
_HUGGINGFACE["huggingface", "llama"] |= {"bfloat16": _half, "pickled": _pickled, "float8": _float8}

CELLS: dict[tuple[str, str], dict[str, Builder]] = _HUGGINGFACE | {
    ("huggingface", "moe"): {
        "": _mixture("mixtral"),
        "qwen2_moe": _mixture("qwen2_moe"),
        "gpt_oss": _mixture("gpt_oss"),
    },
    ("huggingface", "generic"): {"": _state_space("mamba2"), "jamba": _state_space("jamba", "mamba.dt_proj")},
    ("nanogpt", "nanogpt"): {
        "": _nanogpt,
        "3": _early("3"),
        "4": _early("4"),
        "6": _early("6"),
        "12": _later("12"),
        # an 8-bit head, whose logits are bfloat16 numbers: a last bit may fall the other way
        "19": _later("19", logit_error=2.0**-7),
    },
    ("nanochat", "nanochat"): {"": _nanochat("smear"), "original": _nanochat("original")},
    ("adapter", "llama"): {
        "": _adapter(adapters.bare_llama, "llama"),
        "dora": _adapter(adapters.bare_llama, "llama", use_dora=True),
    },
    ("adapter", "gpt2"): {
        "": _adapter(adapters.bare_gpt2, "gpt2", target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    },
    ("adapter", "nanogpt"): {"": _adapter_of_nanogpt},
    ("hub", "gpt_neox"): {"": _hub("gpt_neox", "step1", "step1000", wanted="step*")},
    ("hub", "llama"): {
        "": _hub("olmo2", "stage1-step1000-tokens5B", "stage1-step20000-tokens84B", wanted="stage1*")
    },
    ("distributed", "llama"): {
        "": _distributed("torch_save"),
        "safetensors": _distributed("safetensors"),
        "torchtitan": _torchtitan,
    },
    ("distributed", "nanogpt"): {"": _distributed_nanogpt},
    ("gguf", "llama"): {"": _gguf(gguf.F32), "F16": _gguf(gguf.F16), "Q8_0": _gguf(gguf.Q8_0)},
    ("gguf", "gpt2"): {"": _gguf_gpt2},
    ("llmc", "gpt2"): {"": _llmc(3, torch.float32), "bfloat16": _llmc(5, torch.bfloat16)},
}
