"""Revisions of tiny models in a cache that the tests build; any request would be seen."""

import json
import os

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    PreTrainedTokenizerFast,
)

from spectra_cli.core.errors import CheckpointError, UsageError
from spectra_cli.extract.checkpoints.hub import source as hub_module
from spectra_cli.extract.checkpoints.hub.cache import NotFetchedError
from spectra_cli.extract.checkpoints.hub.source import HubFormat
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.probes.load import load_probe
from spectra_cli.extract.probes.source import ProbeRequest
from tests.extract.writers.adapters import adapt, bare_llama, lora

SIZES = {"vocab_size": 61, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
PYTHIA, OLMO = "EleutherAI/pythia-1m", "allenai/OLMo-2-1M"
PYTHIA_STEPS = (0, 1, 512, 1000, 143000)
OLMO_REVISIONS = (
    *("stage1-step1000-tokens5B", "stage1-step20000-tokens84B", "stage2-ingredient1-step500-tokens3B"),
    *("stage2-ingredient2-step500-tokens3B",),
)


def _pythia(seed):
    torch.manual_seed(seed)
    config = GPTNeoXConfig(**SIZES, num_attention_heads=2, max_position_embeddings=32)
    return GPTNeoXForCausalLM(config).eval()


def _olmo(seed):
    torch.manual_seed(seed)
    config = Olmo2Config(**SIZES, num_attention_heads=2, max_position_embeddings=32, pad_token_id=None)
    return Olmo2ForCausalLM(config).eval()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(repository, revision) -> the writer's model and the folder it saved."""
    folder, made = tmp_path_factory.mktemp("written"), {}
    names = [*(f"step{step}" for step in PYTHIA_STEPS), "main"]
    wanted = [(PYTHIA, name, _pythia) for name in names] + [(OLMO, name, _olmo) for name in OLMO_REVISIONS]
    for seed, (repo, revision, make) in enumerate(wanted):
        model, place = make(seed), folder / str(seed)
        model.save_pretrained(place, max_shard_size="5KB" if seed % 2 else "1GB")
        made[repo, revision] = model, place
    return made


@pytest.fixture
def cache(hub_cache, written):
    """The hub's cache with both series."""
    for (repo, revision), (_, folder) in written.items():
        hub_cache.add(repo, revision, folder)
    return hub_cache


@torch.inference_mode()
def _largest_difference(source, ref, expected):
    header = source.header(ref)
    model = find_family(header).build(header, source.open(ref), device=torch.device("cpu"))
    tokens = torch.arange(24).reshape(2, 12)
    return float((model.head(model.trunk(tokens)) - expected(input_ids=tokens).logits).abs().max())


# ----------------------------------------------------------------------------- series


def test_a_pythia_like_series(cache, written, requests_made):
    source = find_source(f"{PYTHIA}@step*")
    assert [ref.key for ref in source.refs()] == [f"step{step}" for step in PYTHIA_STEPS]
    assert (source.run, source.format) == ("pythia-1m@step", "hub")
    for ref in source.refs():
        assert (ref.run, ref.format) == (source.run, source.format)
        # float32 rounding of logits of order 0.1
        assert _largest_difference(source, ref, written[PYTHIA, ref.key][0]) < 1e-5
        header = source.header(ref)
        assert (header.ref, header.tokens_seen) == (ref, None)
        assert header.notices == ("HF_HUB_OFFLINE is set: only cached revisions are listed",)
    assert requests_made == []


def test_an_olmo_like_series(cache, written, requests_made):
    source = find_source(f"{OLMO}@stage*")
    keys = ["step1000-stage1", "step20000-stage1", "step500-stage2-ingredient1", "step500-stage2-ingredient2"]
    assert [ref.key for ref in source.refs()] == keys
    for ref, revision, tokens in zip(source.refs(), OLMO_REVISIONS, (5, 84, 3, 3), strict=True):
        header = source.header(ref)
        assert header.tokens_seen == tokens * 10**9
        assert header.sources["tokens_seen"] == "revision name"
        assert "tokens seen from the revision's name, which rounds them" in header.notices
        assert _largest_difference(source, ref, written[OLMO, revision][0]) < 1e-5
    assert requests_made == []


def test_every_revision(cache):
    source = find_source(f"{PYTHIA}@*")
    assert source.run == "pythia-1m"
    assert [ref.key for ref in source.refs()][-2:] == ["step143000", "nostep-main"]


def test_tokens_that_the_trainer_counted_come_before_the_name(hub_cache, written, tmp_path):
    written[OLMO, OLMO_REVISIONS[0]][0].save_pretrained(tmp_path / "files")
    state = {"global_step": 1000, "num_input_tokens_seen": 4_194_304_000, "log_history": []}
    (tmp_path / "files" / "trainer_state.json").write_text(json.dumps(state))
    hub_cache.add(OLMO, OLMO_REVISIONS[0], tmp_path / "files")
    source = find_source(f"{OLMO}@stage1*")
    header = source.header(source.refs()[0])
    assert header.tokens_seen == 4_194_304_000
    assert header.sources["tokens_seen"] == "trainer_state.json"


def test_a_pattern_that_matches_nothing(cache):
    with pytest.raises(CheckpointError, match=r"iter\*.*no revision there matches.*step0, step1, step512"):
        find_source(f"{PYTHIA}@iter*")


# ----------------------------------------------------------------------------- one revision


@pytest.mark.parametrize(
    ("asked", "revision", "run"),
    [
        ("", "main", "pythia-1m"),
        ("@main", "main", "pythia-1m@main"),
        ("@step512", "step512", "pythia-1m@step512"),
    ],
)
def test_one_revision(cache, written, requests_made, asked, revision, run):
    source = find_source(PYTHIA + asked)
    (ref,) = source.refs()
    assert source.run == run
    assert ref.key == {"main": "nostep-main", "step512": "step512"}[revision]
    assert _largest_difference(source, ref, written[PYTHIA, revision][0]) < 1e-5
    assert requests_made == []


def test_a_commit(cache, written):
    commit = cache.commit(PYTHIA, "step1")
    (cache.model(PYTHIA) / "refs" / "step1").unlink()
    source = find_source(f"{PYTHIA}@{commit}")
    assert _largest_difference(source, source.refs()[0], written[PYTHIA, "step1"][0]) < 1e-5


def test_a_whole_revision_is_read_without_asking(cache, online, requests_made):
    find_source(f"{PYTHIA}@step512")
    find_source(PYTHIA)
    assert requests_made == []


def test_a_missing_revision_offline(cache, requests_made):
    with pytest.raises(CheckpointError) as caught:
        find_source(f"{PYTHIA}@step2")
    for part in (
        f"{PYTHIA}@step2: no such file",
        "holds main, step0, step1, step512, step1000, step143000 of",
        "HF_HUB_OFFLINE is set",
        f"`hf download {PYTHIA} --revision step2`",
    ):
        assert part in str(caught.value)
    assert requests_made == []


def test_a_missing_revision_without_a_network(cache, online, requests_made):
    with pytest.raises(CheckpointError, match=r"step2.*step512, step1000.*the hub did not give it \("):
        find_source(f"{PYTHIA}@step2")
    assert requests_made


def test_a_bare_name_that_is_not_there_may_be_a_mistyped_folder(cache, online, requests_made):
    with pytest.raises(CheckpointError, match=r"no such file or folder.*as in runs/typo@main"):
        find_source("runs/typo")
    assert requests_made == []


def test_a_missing_revision_is_fetched(cache, written, online, monkeypatch):
    def fetch(repo_id, revision):
        return cache.add(repo_id, revision, written[PYTHIA, "step1"][1])

    monkeypatch.setattr(hub_module, "download", fetch)
    source = find_source(f"{PYTHIA}@step2")
    (ref,) = source.refs()
    assert ref.step == 2
    assert _largest_difference(source, ref, written[PYTHIA, "step1"][0]) < 1e-5


# ----------------------------------------------------------------------------- patterns and the hub


def test_a_pattern_lists_what_the_hub_has_besides(cache, online, monkeypatch):
    listed = {"step1": "f" * 40, "step2": "a" * 40, "step3": "b" * 40, "main": "c" * 40}
    monkeypatch.setattr(hub_module, "revisions_on_hub", lambda repo_id: listed)
    source = find_source(f"{PYTHIA}@step*")
    assert [ref.step for ref in source.refs()] == [0, 1, 2, 3, 512, 1000, 143000]
    by_step = {ref.step: ref for ref in source.refs()}
    (notice,) = source.header(by_step[1]).notices
    assert "2 of 7 matching revisions" in notice
    assert notice.endswith("step2, step3")
    for read in (source.header, source.open):
        with pytest.raises(
            CheckpointError, match=r"pythia-1m@step2: not in the hub cache.*a{40}.*--revision step2"
        ):
            read(by_step[2])


def test_a_pattern_without_a_network(cache, online, requests_made):
    source = find_source(f"{PYTHIA}@step*")
    assert [ref.step for ref in source.refs()] == list(PYTHIA_STEPS)
    (notice,) = source.header(source.refs()[0]).notices
    assert "the hub was not reached" in notice
    assert requests_made


# ----------------------------------------------------------------------------- adapters

LORA, BASE = "somebody/tiny-lora", "meta/tiny-base"


@pytest.fixture
def adapters(hub_cache, tmp_path):
    """Two revisions of an adapter in the cache, and what PEFT makes of each; the base is put there too."""
    made = {}
    for step in (2, 1):
        folder = tmp_path / f"step{step}"
        adapted = adapt(bare_llama, lora(r=step), tmp_path / "base", folder)
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": BASE}))
        hub_cache.add(LORA, f"step{step}", folder)
        made[step] = adapted
    hub_cache.add(BASE, "main", tmp_path / "base")
    return made


def _peft_difference(source, ref, adapted):
    header = source.header(ref)
    model = find_family(header).build(header, source.open(ref), device=torch.device("cpu"))
    tokens = torch.arange(12).reshape(1, 12)
    with torch.no_grad():
        return float((model.head(model.trunk(tokens)) - adapted(input_ids=tokens).logits).abs().max())


def test_adapters_in_the_cache_are_read_over_their_base(adapters, hub_cache, requests_made):
    source = find_source(f"{LORA}@step*")
    assert [(ref.key, ref.format, ref.run) for ref in source.refs()] == [
        ("step1", "hub", "tiny-lora@step"),
        ("step2", "hub", "tiny-lora@step"),
    ]
    for ref in source.refs():
        assert _peft_difference(source, ref, adapters[ref.step]) < 1e-5
        header = source.header(ref)
        assert header.named_as == "huggingface"
        assert header.base_uri == str(hub_cache.model(BASE) / "snapshots" / hub_cache.commit(BASE, "main"))
        assert header.updates().keys()
    (single,) = find_source(f"{LORA}@step2").refs()
    assert single.step == 2
    assert requests_made == []


def test_another_base_for_an_adapter_of_the_hub(adapters, tmp_path):
    bare_llama().save_pretrained(tmp_path / "other")
    source = find_source(f"{LORA}@step1", base=str(tmp_path / "other"))
    assert source.header(source.refs()[0]).base_uri == str(tmp_path / "other")
    with pytest.raises(UsageError, match=r"--base somewhere: .*no adapters"):
        find_source(BASE, base="somewhere")


@pytest.mark.parametrize("revision", [None, "v1", "v*"])
@pytest.mark.parametrize("local", [False, True])
def test_a_base_that_only_an_adapter_names_is_never_asked_for(
    adapters, hub_cache, online, tmp_path, requests_made, revision, local
):
    folder = tmp_path / "step1"
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= {"base_model_name_or_path": "meta/absent", "revision": revision}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    hub_cache.add(LORA, "step3", folder)
    source = find_source(str(folder) if local else f"{LORA}@step3")
    name = revision or "main"
    with pytest.raises(
        CheckpointError, match=r"(?s)its base meta/absent.* cannot be read; --base names"
    ) as said:
        source.header(source.refs()[0])
    assert "downloaded only where --base names it" in str(said.value)
    assert f"`hf download meta/absent --revision {name if name != 'v*' else 'NAME'}`" in str(said.value)
    assert requests_made == []


def test_a_base_that_the_user_names_may_be_fetched(adapters, hub_cache, online, tmp_path, monkeypatch):
    fetched = []

    def fetch(repo_id, revision):
        fetched.append((repo_id, revision))
        return hub_cache.add(repo_id, revision, tmp_path / "base")

    monkeypatch.setattr(hub_module, "download", fetch)
    source = find_source(f"{LORA}@step1", base="meta/absent@v1")
    assert _peft_difference(source, source.refs()[0], adapters[1]) < 1e-5
    assert fetched == [("meta/absent", "v1")]


def test_an_incomplete_adapter(adapters, hub_cache):
    snapshot = hub_cache.model(LORA) / "snapshots" / hub_cache.commit(LORA, "step1")
    (snapshot / "adapter_model.safetensors").unlink()
    source = find_source(f"{LORA}@step1")
    with pytest.raises(CheckpointError, match=r"lacks adapter_model.safetensors.*--revision step1"):
        source.header(source.refs()[0])


# ----------------------------------------------------------------------------- damage


def test_incomplete_snapshots_fail_by_name_and_hide_no_other(cache):
    snapshot = {
        n: cache.model(PYTHIA) / "snapshots" / cache.commit(PYTHIA, n) for n in ("step0", "step1", "main")
    }
    shard = next(snapshot["step1"].glob("*-00002-of-*"))
    shard.resolve().rename(shard.resolve().with_name("0123.incomplete"))
    (snapshot["step0"] / "config.json").unlink()
    (snapshot["main"] / "model.safetensors.index.json").unlink()
    source = find_source(f"{PYTHIA}@*")
    problems = {}
    for ref in source.refs():
        try:
            source.header(ref)
        except CheckpointError as error:
            problems[ref.key] = str(error)
    assert set(problems) == {"step0", "step1", "nostep-main"}
    assert "@step0: its snapshot" in problems["step0"]
    assert "lacks config.json" in problems["step0"]
    assert f"lacks {shard.name}; 1 downloads of {PYTHIA} were cut off" in problems["step1"]
    assert f"Complete it with `hf download {PYTHIA} --revision step1`" in problems["step1"]
    assert "lacks its weights" in problems["nostep-main"]
    with pytest.raises(CheckpointError, match=r"step1: its snapshot .* lacks"):
        source.open(source.refs()[1])


def test_an_incomplete_revision_says_why_the_hub_did_not_complete_it(cache, online, monkeypatch):
    def refuse(repo_id, revision):
        raise NotFetchedError("GatedRepoError: ask for access")

    monkeypatch.setattr(hub_module, "download", refuse)
    (cache.model(PYTHIA) / "snapshots" / cache.commit(PYTHIA, "step0") / "config.json").unlink()
    source = find_source(f"{PYTHIA}@step0")
    with pytest.raises(
        CheckpointError, match=r"lacks config\.json \(the hub did not give it: GatedRepoError"
    ):
        source.header(source.refs()[0])


def test_an_index_may_lead_into_the_caches_blobs_and_nowhere_else(cache, tmp_path):
    snapshot = cache.model(PYTHIA) / "snapshots" / cache.commit(PYTHIA, "step1")
    shard = next(snapshot.glob("*-00002-of-*"))
    blob = shard.resolve()
    shared = cache.root / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(os.path.relpath(shared, blob.parent))
    source = find_source(f"{PYTHIA}@step1")
    assert len(source.open(source.refs()[0])) == len(source.header(source.refs()[0]).tensors)

    outside = tmp_path / "outside.safetensors"
    shared.rename(outside)
    blob.unlink()
    blob.symlink_to(outside)
    with pytest.raises(CheckpointError, match="Nothing outside the folder is read"):
        source.open(source.refs()[0])

    index = snapshot / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"] = dict.fromkeys(content["weight_map"], "../../../../outside.safetensors")
    index.unlink()
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="expected a plain file name"):
        source.header(source.refs()[0])


# ----------------------------------------------------------------------------- tokenizer, names


def test_text_is_tokenised_with_the_snapshots_tokenizer(hub_cache, written, tmp_path, requests_made):
    model = written[PYTHIA, "step1"][0]
    model.save_pretrained(tmp_path / "files")
    words = {word: number for number, word in enumerate(["[UNK]", "<|endoftext|>", "a", "b", "c"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")  # noqa: S106
    fast.save_pretrained(tmp_path / "files")
    snapshot = hub_cache.add(PYTHIA, "step1", tmp_path / "files")
    (ref,) = find_source(f"{PYTHIA}@step1").refs()
    assert ref.uri == str(snapshot)
    text = tmp_path / "probe.txt"
    text.write_text("a b c a b c")
    spec = ProbeRequest(
        source=str(text),
        num_sequences=1,
        sequence_length=5,
        seed=None,
        order="file",
        targets="next_token",
        tokenizer=None,
        format=None,
    )
    probe = load_probe(spec, vocab_size=61, checkpoint_folder=ref.uri)
    assert probe.tokens.tolist() == [[2, 3, 4, 2, 3]]
    assert requests_made == []


@pytest.mark.parametrize(
    ("path", "run"),
    [
        ("org/Name-1.4b@step*", "Name-1.4b@step"),
        ("org/Name@stage[12]-*B", "Name@stage-12-B"),
        ("org/Name@refs/pr/1", "Name@refs-pr-1"),
    ],
)
def test_names_of_runs_are_fit_for_files(hub_cache, written, path, run):
    repo, _, revision = path.partition("@")
    name = {"step*": "step5", "stage[12]-*B": "stage2-step5-tokens1B"}.get(revision, revision)
    hub_cache.add(repo, name, written[PYTHIA, "step1"][1])
    assert find_source(path).run == run


@pytest.mark.parametrize(
    "path", ["a", "a/b/c", "./a/b", "../a", "/a/b", "a/b@", "a/b@../c", "a--b/c", "a/b.git", "a/b@c d", ""]
)
def test_other_paths_are_not_names_on_the_hub(hub_cache, path):
    assert HubFormat().find(path) is None
