"""Files that would run, read or claim what they must not: refused by name, nothing run, nothing written.

Each attack goes through all that a scan does with a checkpoint before its first pass: find it, read its
header, its tensors, and build its model.
"""

import json
import pickle
import struct

import pytest
import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint.filesystem import SerializationFormat

from spectra_cli.core.errors import CheckpointError, ModelError, SpectraError, UnsafePickleError
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.series.opened import open_series
from tests.extract.writers import adapters, decoder, gguf, llmc, nanochat
from tests.extract.writers.distributed import save
from tests.extract.writers.huggingface import CONFIGS, random_model

ENDLESS = 2**40


def tiny(name="llama"):
    return random_model({"model_type": name, **CONFIGS[name]})


def read(path):
    series = open_series(str(path))
    for ref in series.refs:
        header = series.source.header(ref)
        state = series.source.open(ref)
        find_family(header).build(header, state, device=torch.device("cpu"))


def contents(folder):
    """Path -> size and time of change of everything in the folder."""
    found = {path: path.lstat() for path in folder.rglob("*") if not path.is_dir()}
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


# ----------------------------------------------------------------------------- what the attacks start from


def sharded(folder, module, suffix):
    """The folder, its index and where that places each tensor, in two shards."""
    module.config.save_pretrained(folder)
    state = module.state_dict()
    stem = {"bin": "pytorch_model", "safetensors": "model"}[suffix]
    placed = {name: f"{stem}-{i % 2 + 1:05}-of-00002.{suffix}" for i, name in enumerate(state)}
    for shard in set(placed.values()):
        own = {name: state[name].contiguous() for name in state if placed[name] == shard}
        (torch.save if suffix == "bin" else save_file)(own, folder / shard)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": placed}))
    return index, placed


def distributed(folder, form="torch_save"):
    module = tiny()
    step = folder / "step-1"
    save({"model": module.state_dict()}, step, serialization_format=SerializationFormat(form))
    module.config.save_pretrained(folder)
    return step


def edited_metadata(step, edit):
    path = step / ".metadata"
    metadata = pickle.loads(path.read_bytes())  # noqa: S301 - written above
    edit(metadata)
    path.write_bytes(pickle.dumps(metadata))


def adapter(folder):
    adapters.adapt(adapters.bare_llama, adapters.lora(), folder / "base", folder / "adapter")
    return folder / "adapter"


def nanochat_file(folder, state, **config):
    torch.save(state, folder / "model_000001.pt")
    meta = {"step": 1, "model_config": nanochat.ARGUMENTS | config}
    (folder / "meta_000001.json").write_text(json.dumps(meta))


def edited_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# ----------------------------------------------------------------------- pickles that would run a command


def pickle_of_huggingface(folder, trap):
    tiny().config.save_pretrained(folder)
    torch.save({"w": trap}, folder / "pytorch_model.bin")
    return folder, r"pytorch_model\.bin"


def pickle_in_a_shard(folder, trap):
    index, placed = sharded(folder, tiny(), "bin")
    shard = index.parent / next(iter(placed.values()))
    torch.save(torch.load(shard, weights_only=True) | {"w": trap}, shard)
    return folder, rf"{shard.name}"


def pickle_of_nanogpt(folder, trap):
    torch.save({"model": decoder.random_state("n") | {"w": trap}, "model_args": {}}, folder / "ckpt.pt")
    return folder, r"ckpt\.pt"


def optimizer_inside_nanogpt(folder, trap):
    content = {"model": decoder.random_state("n"), "model_args": {"n_head": 4}, "optimizer": {"state": trap}}
    torch.save(content, folder / "ckpt.pt")
    return folder, r"ckpt\.pt"


def pickle_of_the_paper(folder, trap):
    content = {"step": 1, "model": decoder.random_state("6"), "args": trap}
    torch.save(content, folder / "checkpoint_step000001.pt")
    return folder, r"checkpoint_step000001\.pt"


def bare_state_dict(folder, trap):
    torch.save(tiny().state_dict() | {"w": trap}, folder / "consolidated.pt")
    return folder / "consolidated.pt", r"consolidated\.pt"


def legacy_file(folder, trap):
    content = {"model": decoder.random_state("n"), "model_args": {"n_head": 4}, "rng": trap}
    torch.save(content, folder / "ckpt.pt", _use_new_zipfile_serialization=False)
    return folder, r"ckpt\.pt"


def pickle_of_nanochat(folder, trap):
    nanochat_file(folder, nanochat.tensors("original") | {"w": trap})
    return folder, r"model_000001\.pt"


def pickled_adapter(folder, trap):
    path = adapter(folder)
    torch.save({"w": trap}, path / "adapter_model.bin")
    (path / "adapter_model.safetensors").unlink()
    return path, r"adapter_model\.bin"


def pickled_base(folder, trap):
    path = adapter(folder)
    torch.save({"w": trap}, folder / "base" / "pytorch_model.bin")
    (folder / "base" / "model.safetensors").unlink()
    return path, r"pytorch_model\.bin"


def distributed_metadata(folder, trap):
    (distributed(folder) / ".metadata").write_bytes(pickle.dumps(trap))
    return folder, r"\.metadata"


def distributed_chunk(folder, trap):
    step = distributed(folder)
    (shard,) = step.glob("*.distcp")
    start = shard.stat().st_size
    # as long as every tensor that is said to be there
    torch.save({"x": trap, "padding": torch.zeros(2**13)}, folder / "chunk")
    chunk = (folder / "chunk").read_bytes()
    shard.write_bytes(shard.read_bytes() + chunk)

    def point_there(metadata):
        for info in metadata.storage_data.values():
            info.offset, info.length = start, len(chunk)

    edited_metadata(step, point_there)
    return folder, r"(?s)\.distcp.*needs eval\. Nothing of it was executed"


PICKLES = [
    pickle_of_huggingface,
    pickle_in_a_shard,
    pickle_of_nanogpt,
    optimizer_inside_nanogpt,
    pickle_of_the_paper,
    bare_state_dict,
    legacy_file,
    pickle_of_nanochat,
    pickled_adapter,
    pickled_base,
    distributed_metadata,
]


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "run"
    place.mkdir()
    return place


def refused(path, tmp_path, error, message):
    """Reading fails by name, and leaves every file as it was and no other."""
    before = contents(tmp_path)
    with pytest.raises(error, match=message):
        read(path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("attack", PICKLES)
def test_a_reducer_is_not_run(attack, folder, tmp_path, bomb, hub_cache):
    trap, target = bomb
    path, name = attack(folder, trap)
    # one of several checkpoints may fail: the series names each, and its reason
    refused(path, tmp_path, CheckpointError, rf"(?s){name}.*eval.*Nothing of it was executed")
    assert not target.exists()


def test_a_reducer_in_a_distributed_chunk_is_not_run(folder, tmp_path, bomb):
    trap, target = bomb
    path, message = distributed_chunk(folder, trap)
    refused(path, tmp_path, UnsafePickleError, message)
    assert not target.exists()


def test_a_reducer_in_a_snapshot_of_the_hub_is_not_run(folder, tmp_path, bomb, hub_cache):
    trap, target = bomb
    pickle_of_huggingface(folder, trap)
    hub_cache.add("org/evil", "main", folder)
    refused("org/evil@main", tmp_path, CheckpointError, r"(?s)pytorch_model\.bin.*eval")
    assert not target.exists()


BESIDE = {
    "huggingface": ("optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt", "training_args.bin"),
    "adapter": ("optimizer.pt", "training_args.bin"),
    "nanochat": ("optim_000001_rank0.pt",),
}


@pytest.mark.parametrize("form", BESIDE)
def test_what_stands_beside_the_weights_is_not_unpickled(form, folder, tmp_path, bomb):
    trap, target = bomb
    path = folder
    if form == "nanochat":
        nanochat_file(folder, nanochat.tensors("original"))
    elif form == "adapter":
        path = adapter(folder)
    else:
        tiny().save_pretrained(folder)
    for name in BESIDE[form]:
        torch.save({"state": trap}, path / name)
    before = contents(tmp_path)
    read(path)
    assert contents(tmp_path) == before
    assert not target.exists()


def test_bytes_of_the_optimizer_in_a_distributed_folder_are_not_unpickled(folder, bomb):
    trap, target = bomb
    module = tiny()
    save({"model": module.state_dict(), "optimizer": {"hook": trap}}, folder / "step-1")
    module.config.save_pretrained(folder)
    read(folder)
    assert not target.exists()


def test_shards_and_scripts_of_deepspeed_are_not_run(folder, tmp_path, bomb):
    trap, target = bomb
    (folder / "global_step5").mkdir()
    torch.save({"module": trap}, folder / "global_step5" / "mp_rank_00_model_states.pt")
    torch.save(trap, folder / "global_step5" / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    (folder / "zero_to_fp32.py").write_text(f"open({str(target)!r}, 'w')")
    refused(folder, tmp_path, CheckpointError, r"zero_to_fp32\.py")
    assert not target.exists()


# ----------------------------------------------------------------------------- an index that leads outside


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("how", ["parent", "absolute", "link"])
def test_an_index_that_leads_outside(suffix, how, folder, tmp_path):
    index, placed = sharded(folder, tiny(), suffix)
    shard = folder / next(iter(placed.values()))
    outside = tmp_path / shard.name
    shard.rename(outside)
    named = {"parent": f"../{shard.name}", "absolute": str(outside), "link": shard.name}[how]
    if how == "link":
        shard.symlink_to(outside)
    elsewhere = {name: named if file == shard.name else file for name, file in placed.items()}
    index.write_text(json.dumps({"weight_map": elsewhere}))
    refused(folder, tmp_path, CheckpointError, r"index\.json.*Nothing outside the folder is read")


def test_a_snapshot_of_the_hub_that_leads_outside_the_cache(folder, tmp_path, hub_cache):
    _, placed = sharded(folder, tiny(), "safetensors")
    snapshot = hub_cache.add("org/evil", "main", folder)
    name = next(iter(placed.values()))
    (snapshot / name).unlink()
    (snapshot / name).symlink_to(folder / name)
    refused("org/evil@main", tmp_path, CheckpointError, "Nothing outside the folder is read")


@pytest.mark.parametrize("how", ["parent", "link"])
def test_distributed_metadata_that_lead_outside(how, folder, tmp_path):
    step = distributed(folder)
    (shard,) = step.glob("*.distcp")
    shard.rename(tmp_path / shard.name)
    if how == "link":
        shard.symlink_to(tmp_path / shard.name)
    else:

        def elsewhere(metadata):
            for info in metadata.storage_data.values():
                info.relative_path = f"../../{info.relative_path}"

        edited_metadata(step, elsewhere)
    refused(folder, tmp_path, CheckpointError, "only files of the same folder|outside the folder")


# ----------------------------------------------------------------------------- claims of more than there is


def longer_header(path):
    path.write_bytes(struct.pack("<Q", ENDLESS) + path.read_bytes()[8:])


def huge_safetensors(folder):
    tiny().save_pretrained(folder)
    longer_header(folder / "model.safetensors")
    return folder, r"model\.safetensors: header of 1099511627776 bytes claimed"


def huge_shard(folder):
    _, placed = sharded(folder, tiny(), "safetensors")
    longer_header(folder / next(iter(placed.values())))
    return folder, r"00001-of-00002\.safetensors: header of 1099511627776"


def huge_tensor_of_safetensors(folder):
    tiny().save_pretrained(folder)
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    header["model.norm.weight"]["shape"] = [ENDLESS]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return folder, r"model\.norm\.weight.* of shape \(1099511627776,\)"


def huge_adapter(folder):
    path = adapter(folder)
    longer_header(path / "adapter_model.safetensors")
    return path, r"adapter_model\.safetensors: header of 1099511627776"


def spread_out(number=1.0):
    """One stored number under a shape of 2^40."""
    return torch.full((1,), number).expand(ENDLESS)


def huge_bin(folder):
    module = tiny()
    module.config.save_pretrained(folder)
    torch.save(module.state_dict() | {"model.norm.weight": spread_out()}, folder / "pytorch_model.bin")
    return folder, r"pytorch_model\.bin: model\.norm\.weight .*claims 4398046511104 bytes"


def huge_nanogpt(folder):
    state = decoder.random_state("n") | {"transformer.ln_f.weight": spread_out()}
    torch.save({"model": state, "model_args": {"n_head": 4}}, folder / "ckpt.pt")
    return folder, r"ckpt\.pt: transformer\.ln_f\.weight .*claims 4398046511104 bytes"


def huge_nanochat(folder):
    nanochat_file(folder, nanochat.tensors("original") | {"transformer.wte.weight": spread_out()})
    return folder, r"model_000001\.pt: transformer\.wte\.weight .*claims 4398046511104 bytes"


def layers_of_nanochat(folder):
    nanochat_file(folder, nanochat.tensors("original"), n_layer=ENDLESS)
    return folder, "model_config claims 1099511627776 layers"


def layers_of_huggingface(folder):
    tiny().save_pretrained(folder)
    edited_json(folder / "config.json", num_hidden_layers=ENDLESS)
    return folder, r"config\.json .*1099511627776"


def huge_distributed(folder):
    """A tensor in two chunks, as large as two bytes of a file can be said to be."""
    step = distributed(folder)

    def grow(metadata):
        name = next(name for name in metadata.state_dict_metadata if name.endswith("norm.weight"))
        entry = metadata.state_dict_metadata[name]
        (chunk,) = entry.chunks
        entry.size = chunk.sizes = torch.Size([ENDLESS])

    edited_metadata(step, grow)
    return folder, r"\.metadata.*\(1099511627776,\) is claimed to be in \d+ bytes"


def distributed_beyond_the_file(folder):
    step = distributed(folder)

    def further(metadata):
        for info in metadata.storage_data.values():
            info.length = ENDLESS

    edited_metadata(step, further)
    return folder, r"\.distcp: \d+ bytes, but the metadata places tensors up to byte 10995"


def gguf_claim(before, at, claimed, message):
    """Overwrite a number `at` bytes behind a name in a GGUF file."""

    def attack(folder):
        path = folder / "tiny.gguf"
        gguf.write_llama(gguf.make_llama(), path)
        content = path.read_bytes()
        start = content.index(before) + len(before) + at
        path.write_bytes(content[:start] + claimed + content[start + len(claimed) :])
        return path, rf"tiny\.gguf: .*{message}"

    return attack


ENDLESS_8 = struct.pack("<Q", ENDLESS)
GGUF = {
    "gguf tensors": gguf_claim(b"GGUF", 4, ENDLESS_8, "1099511627776 tensors are claimed"),
    "gguf entries": gguf_claim(b"GGUF", 12, ENDLESS_8, "1099511627776 metadata entries are claimed"),
    # behind the name: a type, then a string's length
    "gguf text": gguf_claim(b"general.architecture", 4, ENDLESS_8, "characters are claimed"),
    # an array of numbers in the place of a number: type 9, of type 4, so many
    "gguf array": gguf_claim(
        b"llama.context_length", 0, struct.pack("<IIQ", 9, 4, ENDLESS), "1099511627776 numbers are claimed"
    ),
    # behind the name: how many dimensions, then those
    "gguf tensor": gguf_claim(b"output_norm.weight", 4, ENDLESS_8, r"of a tensor of shape \[1099511627776\]"),
    "gguf layers": gguf_claim(b"llama.block_count", 4, struct.pack("<I", 2**31 - 1), "2147483647 layers"),
}


def huge_llmc(folder):
    path = folder / "model_00000001.bin"
    llmc.write(tiny("gpt2"), path)
    content = path.read_bytes()
    # the number of layers
    path.write_bytes(content[:16] + struct.pack("<i", 2**31 - 1) + content[20:])
    return folder, r"model_00000001\.bin: \d+ bytes, its header claims"


CLAIMS = {
    attack.__name__: attack
    for attack in (
        *(huge_safetensors, huge_shard, huge_tensor_of_safetensors, huge_adapter, huge_bin, huge_nanogpt),
        *(huge_nanochat, layers_of_nanochat, layers_of_huggingface, huge_distributed),
        *(distributed_beyond_the_file, huge_llmc),
    )
} | GGUF


@pytest.mark.parametrize("attack", CLAIMS)
def test_more_is_claimed_than_the_file_has(attack, folder, tmp_path):
    path, message = CLAIMS[attack](folder)
    refused(path, tmp_path, SpectraError, f"(?s){message}")


# ----------------------------------------------------------------------------- remote code

OWN = {
    "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own", "AutoTokenizer": "own.Own"},
    "model_type": "own",
    "architectures": ["Own"],
}


def asks_for_code(folder, target):
    """Let the configuration in the folder name a class of its own beside it."""
    (folder / "own.py").write_text(f"open({str(target)!r}, 'w').close()\nclass Own: pass\n")
    edited_json(folder / "config.json", **OWN)


@pytest.mark.parametrize("form", ["huggingface", "hub", "distributed", "adapter"])
def test_remote_code_is_not_run(form, folder, tmp_path, hub_cache):
    target = tmp_path / "executed"
    path, error = folder, ModelError
    if form == "distributed":
        distributed(folder)
        asks_for_code(folder, target)
        error = SpectraError
    elif form == "adapter":
        path = adapter(folder)
        asks_for_code(folder / "base", target)
    else:
        tiny().save_pretrained(folder)
        asks_for_code(folder, target)
    if form == "hub":
        hub_cache.add("org/evil", "main", folder)
        path = "org/evil@main"
    refused(path, tmp_path, error, r"own.*--trust-remote-code")
    assert not target.exists()


def test_an_adapter_that_names_a_library_does_not_import_it(folder, tmp_path, monkeypatch):
    target = tmp_path / "executed"
    (tmp_path / "evil_library.py").write_text(f"open({str(target)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = adapter(folder)
    named = {"base_model_class": "Own", "parent_library": "evil_library"}
    edited_json(path / "adapter_config.json", auto_mapping=named)
    read(path)
    assert not target.exists()
