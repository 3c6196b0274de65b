"""The local cache of the Hugging Face hub, as huggingface_hub lays it out."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path


class HubCache:
    """A cache as huggingface_hub lays it out: blobs, and snapshots and refs that lead to them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def model(self, repo_id: str) -> Path:
        return self.root / f"models--{repo_id.replace('/', '--')}"

    def commit(self, repo_id: str, revision: str) -> str:
        return hashlib.sha1(f"{repo_id}@{revision}".encode()).hexdigest()  # noqa: S324 - as git names commits

    def add(self, repo_id: str, revision: str, files: Path) -> Path:
        """Put the files of a folder into the cache; returns the snapshot."""
        model, commit = self.model(repo_id), self.commit(repo_id, revision)
        snapshot, ref = model / "snapshots" / commit, model / "refs" / revision
        for folder in (snapshot, model / "blobs", ref.parent):
            folder.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)
        for file in files.iterdir():
            blob = model / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
            shutil.copy(file, blob)
            (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))
        return snapshot
