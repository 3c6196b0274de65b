"""What the cache holds, and what is fetched into it: from a hub that answers inside the test."""

import json
import threading

import huggingface_hub
import pytest
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # httpx's or httpx2's
from huggingface_hub.utils._http import default_client_factory

from spectra_cli.extract.checkpoints.hub.cache import (
    NotFetchedError,
    cached_model,
    download,
    holds_adapter,
    missing_files,
    revisions_on_hub,
    unfinished_downloads,
)

# huggingface_hub 2 brings its own fork of httpx
httpx = pytest.importorskip(HTTPError.__module__.partition(".")[0])
REPO, COMMIT = "org/tiny", "c" * 40
COMMON = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "README.md": b"#",
    "modeling_own.py": b"raise SystemExit",
}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = {
    "model.safetensors.index.json": json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))}).encode()
}
PICKLED = {"pytorch_model.bin": b"pickle", "flax_model.msgpack": b"flax"}


ADAPTER = {"adapter_config.json": b"{}"}
ADAPTED = ADAPTER | {"adapter_model.safetensors": b"lora"}


class FakeHub:
    """Answers as huggingface.co does for one commit of one model."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, request):
        path = request.url.path
        with self._lock:
            self.asked.append(f"{request.method} {path}")
        if path == f"/api/models/{REPO}/refs":
            refs = [{"name": "step7", "ref": "refs/heads/step7", "targetCommit": COMMIT}]
            return httpx.Response(200, json={"branches": refs, "converts": [], "tags": []})
        if path == f"/api/models/{REPO}/revision/step7":
            return httpx.Response(200, json={"id": REPO, "sha": COMMIT, "siblings": []})
        if path == f"/api/models/{REPO}/tree/{COMMIT}":
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": f"{position:040}"}
                for position, (name, content) in enumerate(self.files.items())
            ]
            return httpx.Response(200, json=entries)
        if path.startswith(f"/{REPO}/resolve/{COMMIT}/"):
            name = path.rpartition("/")[2]
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{list(self.files).index(name):040}"'}
            return httpx.Response(200, content=self.files[name], headers=headers)
        code = "RevisionNotFound" if path.startswith(f"/api/models/{REPO}/") else "RepoNotFound"
        return httpx.Response(404, headers={"X-Error-Code": code, "X-Error-Message": "absent"})


@pytest.fixture
def fake_hub(hub_cache, online):
    hub = FakeHub()
    huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(hub)))
    yield hub
    huggingface_hub.set_client_factory(default_client_factory)


def _fetched(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


NEEDED = {name: COMMON[name] for name in ("config.json", "tokenizer.json")}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"model.safetensors": b"whole", **PICKLED}, {"model.safetensors": b"whole"}),
        (
            {**INDEX, SHARDS[0]: b"1", SHARDS[1]: b"2", "other.safetensors": b"3", **PICKLED},
            {**INDEX, SHARDS[0]: b"1", SHARDS[1]: b"2"},
        ),
        (PICKLED, {"pytorch_model.bin": b"pickle"}),
        (ADAPTER | {"adapter_model.safetensors": b"lora", "adapter_model.bin": b"old"}, ADAPTED),
        (
            ADAPTER | {"adapter_model.bin": b"old", "optimizer.pt": b"states"},
            ADAPTER | {"adapter_model.bin": b"old"},
        ),
    ],
    ids=["whole", "sharded", "bin-only", "adapter", "adapter-bin-only"],
)
def test_only_what_a_checkpoint_needs_is_fetched(fake_hub, hub_cache, requests_made, weights, expected):
    fake_hub.files = COMMON | weights
    snapshot = download(REPO, "step7")
    assert snapshot == hub_cache.model(REPO) / "snapshots" / COMMIT
    assert _fetched(snapshot) == NEEDED | expected
    assert cached_model(REPO).revisions == {"step7": snapshot}
    assert missing_files(snapshot) == ()
    assert requests_made == []


def test_an_index_cannot_ask_for_everything(fake_hub):
    index = {"model.safetensors.index.json": b'{"weight_map": {"a": "*", "b": 3}}'}
    fake_hub.files = COMMON | index
    assert _fetched(download(REPO, "step7")) == NEEDED | index


def test_refusals_are_named(fake_hub):
    with pytest.raises(NotFetchedError, match="RevisionNotFoundError"):
        download(REPO, "step8")
    with pytest.raises(NotFetchedError, match="RepositoryNotFoundError"):
        download("org/other", "step7")
    with pytest.raises(NotFetchedError, match="RepositoryNotFoundError"):
        revisions_on_hub("org/other")


def test_revisions_on_the_hub(fake_hub):
    assert revisions_on_hub(REPO) == {"step7": COMMIT}


def test_without_a_network(hub_cache, online, requests_made):
    for ask in (lambda: download(REPO, "step7"), lambda: revisions_on_hub(REPO)):
        with pytest.raises(NotFetchedError):
            ask()
        assert requests_made
        requests_made.clear()


def test_an_empty_cache(hub_cache):
    model = cached_model(REPO)
    assert (model.folder, model.revisions, model.commits) == (hub_cache.model(REPO), {}, ())


def test_the_cache_is_read_as_huggingface_hub_reads_it(hub_cache, tmp_path, llama):
    llama.save_pretrained(tmp_path / "files")
    snapshots = {r: hub_cache.add(REPO, r, tmp_path / "files") for r in ("main", "step1", "refs/pr/1")}
    (hub_cache.model(REPO) / "refs" / "step1").unlink()
    found = huggingface_hub.scan_cache_dir(hub_cache.root)
    assert found.warnings == []
    (theirs,) = found.repos
    ours = cached_model(REPO)
    assert ours.folder == theirs.repo_path
    assert ours.revisions == {name: r.snapshot_path for name, r in theirs.refs.items()}
    assert set(ours.commits) == {r.commit_hash for r in theirs.revisions if not r.refs}
    assert ours.snapshot(ours.commits[0]) == snapshots["step1"]
    assert ours.snapshot("step1") is None


@pytest.mark.parametrize("content", ["../../../files", "..", ""])
def test_a_ref_cannot_lead_out_of_the_cache(hub_cache, tmp_path, llama, content):
    llama.save_pretrained(tmp_path / "files")
    hub_cache.add(REPO, "main", tmp_path / "files")
    (hub_cache.model(REPO) / "refs" / "step1").write_text(content)
    assert set(cached_model(REPO).revisions) == {"main"}


def test_an_adapter_is_known_by_its_configuration(tmp_path):
    assert not holds_adapter(tmp_path / "absent")
    (tmp_path / "adapter_config.json").symlink_to("gone")
    assert holds_adapter(tmp_path)
    assert missing_files(tmp_path) == ("adapter_config.json", "adapter_model.safetensors")
    (tmp_path / "adapter_model.bin").touch()
    assert missing_files(tmp_path) == ("adapter_config.json",)
    # a whole model with an adapter's file beside it is read as what it is
    (tmp_path / "model.safetensors").touch()
    assert not holds_adapter(tmp_path)
    assert missing_files(tmp_path) == ("config.json",)


def test_missing_and_unfinished_files(hub_cache, tmp_path, llama):
    llama.save_pretrained(tmp_path / "files", max_shard_size="20KB")
    snapshot = hub_cache.add(REPO, "main", tmp_path / "files")
    assert missing_files(snapshot) == ()
    shard = next(snapshot.glob("*-00001-of-*"))
    shard.resolve().rename(shard.resolve().with_suffix(".incomplete"))
    assert missing_files(snapshot) == (shard.name,)
    assert unfinished_downloads(cached_model(REPO)) == 1
    (snapshot / "config.json").unlink()
    (snapshot / "model.safetensors.index.json").unlink()
    assert missing_files(snapshot) == ("config.json", "its weights")
