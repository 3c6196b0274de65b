"""The local cache of the Hugging Face hub: which revisions it holds, what they lack, how they get there.

models--ORG--NAME/
    refs/step1000               the commit that the revision is of
    snapshots/COMMIT/           files of the repository, each a link into blobs/
    blobs/                      their contents; `*.incomplete` where a download was cut off
"""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.file_download import REGEX_COMMIT_HASH, repo_folder_name

from spectra_cli.core.bounded_text import read_bounded
from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.adapter.config import ADAPTER_CONFIG
from spectra_cli.extract.checkpoints.adapter.folders import ADAPTER_WEIGHTS
from spectra_cli.extract.checkpoints.files.json_object import read_json_object
from spectra_cli.extract.checkpoints.files.weight_files import WEIGHT_NAMES
from spectra_cli.extract.checkpoints.series.incomplete import CONFIG
from spectra_cli.extract.checkpoints.series.trainer_state import TRAINER_STATE

_SAFETENSORS = (*WEIGHT_NAMES[:2], ADAPTER_WEIGHTS[0])
_PICKLES = (*WEIGHT_NAMES[2:], *ADAPTER_WEIGHTS[1:])
_MOST_REF_BYTES = 1 << 12
_BESIDE_WEIGHTS = (
    *(CONFIG, ADAPTER_CONFIG, TRAINER_STATE, "generation_config.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model"),
)


class NotFetchedError(Exception):
    """The hub was not reached, or does not give what was asked for; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedModel:
    """What the cache holds of one model.

    Attributes:
        folder: of the model, also where there is none yet.
        revisions: branch or tag -> its snapshot folder, which may be gone.
        commits: snapshots that no branch or tag leads to.
    """

    folder: Path
    revisions: dict[str, Path]
    commits: tuple[str, ...]

    def snapshot(self, revision: str) -> Path | None:
        """Where a branch, a tag or a commit is, None if the cache does not know it."""
        if revision in self.commits:
            return self.folder / "snapshots" / revision
        return self.revisions.get(revision)


def is_offline() -> bool:
    """Whether the environment forbids the network (HF_HUB_OFFLINE)."""
    return bool(constants.HF_HUB_OFFLINE)


def cached_model(repo_id: str) -> CachedModel:
    """What the cache holds of `repo_id`; nothing is asked of the network.

    `scan_cache_dir` of huggingface_hub would drop the whole model where one file of one revision is
    missing: here the others stay, and that one is named when it is read.
    """
    folder = Path(constants.HF_HUB_CACHE).expanduser().absolute() / repo_folder_name(
        repo_id=repo_id, repo_type="model"
    )
    refs, snapshots = folder / "refs", folder / "snapshots"
    revisions: dict[str, Path] = {}
    for file in sorted(path for path in refs.rglob("*") if path.is_file()):
        commit = read_bounded(file, _MOST_REF_BYTES, CheckpointError).decode(errors="replace").strip()
        if REGEX_COMMIT_HASH.fullmatch(commit):
            revisions[file.relative_to(refs).as_posix()] = snapshots / commit
    present = sorted(path for path in snapshots.iterdir() if path.is_dir()) if snapshots.is_dir() else []
    named = set(revisions.values())
    commits = tuple(path.name for path in present if path not in named)
    return CachedModel(folder=folder, revisions=revisions, commits=commits)


def holds_adapter(snapshot: Path) -> bool:
    """Whether a snapshot is one of an adapter: `adapter_config.json` and no weights of a whole model."""
    names = {path.name for path in snapshot.iterdir()} if snapshot.is_dir() else set()
    return ADAPTER_CONFIG in names and not names.intersection(WEIGHT_NAMES)


def missing_files(snapshot: Path) -> tuple[str, ...]:
    """Names of the files without which a snapshot is not a checkpoint; a link to no blob is missing."""
    if holds_adapter(snapshot):
        config = () if (snapshot / ADAPTER_CONFIG).is_file() else (ADAPTER_CONFIG,)
        has_weights = any((snapshot / name).is_file() for name in ADAPTER_WEIGHTS)
        return config if has_weights else (*config, ADAPTER_WEIGHTS[0])
    missing = [] if (snapshot / CONFIG).is_file() else [CONFIG]
    weights = next((name for name in WEIGHT_NAMES if (snapshot / name).is_file()), None)
    if weights is None:
        missing.append("its weights")
    elif weights.endswith(".json"):
        missing.extend(name for name in _shards(snapshot / weights) if not (snapshot / name).is_file())
    return tuple(missing)


def unfinished_downloads(model: CachedModel) -> int:
    """How many downloads of the model were cut off."""
    return len(list((model.folder / "blobs").glob("*.incomplete")))


def _shards(index: Path) -> list[str]:
    """The shards that an index names; none where it is no index, which the reader reports."""
    try:
        placed = read_json_object(index).get("weight_map")
    except CheckpointError:
        return []
    names = placed.values() if isinstance(placed, dict) else ()
    return sorted({name for name in names if isinstance(name, str) and "\0" not in name})


def download(repo_id: str, revision: str) -> Path:
    """Fetch what a checkpoint needs, `.bin` weights only where there are no others; no code.

    Returns:
        its snapshot folder.

    Raises:
        NotFetchedError: no network, no such repository or revision, or no access to it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # the base of its own

    def fetch(*names: str, revision: str) -> Path:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(names)))

    try:
        folder = fetch(*_BESIDE_WEIGHTS, *_SAFETENSORS, revision=revision)
        commit = folder.name  # a branch may move between two requests
        if not any((folder / name).is_file() for name in _SAFETENSORS):
            folder = fetch(*_PICKLES, revision=commit)
        index = next((folder / name for name in WEIGHT_NAMES if (folder / name).is_file()), None)
        if index is not None and index.suffix == ".json":
            weights = [name for name in _shards(index) if name.endswith((".safetensors", ".bin"))]
            fetch(*(glob.escape(name) for name in weights), revision=commit)
    except (OSError, ValueError, HTTPError, RuntimeError) as error:  # RuntimeError: of the xet transfer
        raise NotFetchedError(_first_line(error)) from error
    return folder


def revisions_on_hub(repo_id: str) -> dict[str, str]:
    """Branch or tag -> commit, as the hub lists them.

    Raises:
        NotFetchedError: no network, no such repository, or no access to it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # the base of its own

    try:
        refs = HfApi().list_repo_refs(repo_id)
    except (OSError, ValueError, HTTPError) as error:
        raise NotFetchedError(_first_line(error)) from error
    return {ref.name: ref.target_commit for ref in (*refs.tags, *refs.branches)}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
