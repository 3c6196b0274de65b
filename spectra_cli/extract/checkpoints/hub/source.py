"""Models and adapters on the Hugging Face hub: `org/name`, `org/name@revision`, `org/name@step*`, from its
local cache.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from torch import Tensor

from spectra_cli.core.errors import CheckpointError, NoCheckpointError
from spectra_cli.core.notices import Notice, NoticeKind
from spectra_cli.core.types import CheckpointRef
from spectra_cli.core.words.names import listed
from spectra_cli.extract.checkpoints.adapter.base import FindSource
from spectra_cli.extract.checkpoints.adapter.source import AdapterSource
from spectra_cli.extract.checkpoints.hub.cache import (
    CachedModel,
    NotFetchedError,
    cached_model,
    download,
    holds_adapter,
    is_offline,
    missing_files,
    revisions_on_hub,
    unfinished_downloads,
)
from spectra_cli.extract.checkpoints.hub.revisions import Revision, in_order_of_training
from spectra_cli.extract.checkpoints.huggingface.source import HuggingFaceFormat, HuggingFaceSource
from spectra_cli.extract.checkpoints.series.found import natural_key
from spectra_cli.extract.protocols import CheckpointHeader

_FORMAT = "hub"
_ADDRESS = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^\s@\\]+))?")
_DEFAULT_REVISION = "main"
_NUM_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFormat:
    """Finds models and adapters of the hub by name.

    Attributes:
        asks_network: False for names that stand in a file and were not given by the user.
    """

    asks_network: bool = True
    name = _FORMAT
    summary = (
        "org/name, org/name@revision or org/name@'step*': snapshots of models and adapters in the local "
        "cache of the Hugging Face hub; a revision given by its name is downloaded if it is not there"
    )

    def find(self, path: str) -> HubSource | None:
        """The revisions that `path` names; None for what exists as a path, or is no name on the hub.

        Raises:
            CheckpointError: there is no such revision in the cache, nor could it be fetched.
        """
        match = _ADDRESS.fullmatch(path)
        if match is None or os.path.exists(path):
            return None
        try:
            validate_repo_id(match["repo"])
        except HFValidationError:
            return None
        address = _Address(
            repo_id=match["repo"],
            given=match["revision"],
            asks_network=self.asks_network and not is_offline(),
        )
        if ".." in address.revision:
            return None
        return _series(address) if address.is_pattern else _single(address)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    """What was written.

    Attributes:
        repo_id: `org/name`; given: a revision or a pattern of them, None where none was given.
        asks_network: whether the hub may be asked.
    """

    repo_id: str
    given: str | None
    asks_network: bool

    @property
    def revision(self) -> str:
        return self.given or _DEFAULT_REVISION

    @property
    def is_pattern(self) -> bool:
        return any(character in self.revision for character in "*?[")

    @property
    def run(self) -> str:
        """The model's name and the revision asked for, fit for a file name."""
        name = self.repo_id.partition("/")[2]
        asked = re.sub(r"[^\w.]+", "-", self.given or "").strip("-")
        return f"{name}@{asked}" if asked else name

    @property
    def silence(self) -> str:
        """Why nothing was asked of the network."""
        if is_offline():
            return "HF_HUB_OFFLINE is set, so that nothing was asked of the network"
        if not self.asks_network:
            return "the base of an adapter is downloaded only where --base names it"
        return f"only a revision given by name is downloaded, as in {self.repo_id}@{self.revision}"


@dataclass(kw_only=True, slots=True)
class HubSource:
    """Revisions of one model or adapter.

    Attributes:
        run: name of the model, and the pattern or revision that was asked for.
        repo_id: `org/name`.
        revisions: key of a reference -> the revision it is of.
        reader: reads a snapshot as the folder that it is.
        not_fetched: why the hub did not complete a snapshot; empty where it was not asked.
    """

    run: str
    repo_id: str
    revisions: Mapping[str, Revision]
    reader: HuggingFaceSource | AdapterSource
    not_fetched: str = ""
    format: str = _FORMAT

    @property
    def holds_adapters(self) -> bool:
        """Whether these are adapters, over a base of their own."""
        return isinstance(self.reader, AdapterSource)

    def over(self, base: str, *, find: FindSource) -> HubSource:
        """The same adapters over the model at `base`; see `AdapterSource.over`."""
        if not isinstance(self.reader, AdapterSource):
            raise AssertionError("a whole model has no base")
        return replace(self, reader=self.reader.over(base, find=find))

    def refs(self) -> Sequence[CheckpointRef]:
        """The revisions by stage, then by step; those without a step last."""
        return self.reader.refs()

    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What the snapshot says, and the tokens that the revision's name states.

        Raises:
            CheckpointError: not in the cache, or only in part; or as of any Hugging Face folder.
            UnsafePickleError: a `.bin` that needs types outside the allow-list.
        """
        revision = self._complete(ref)
        header = self.reader.header(ref)
        header = replace(header, layout=header.layout or HuggingFaceFormat.name)
        if header.tokens_seen is not None or revision.tokens_seen is None:
            return header
        return replace(
            header,
            tokens_seen=revision.tokens_seen,
            sources={**header.sources, "tokens_seen": "revision name"},
            notices=(
                *header.notices,
                Notice(NoticeKind.TOKENS_ROUNDED, "tokens seen from the revision's name, which rounds them"),
            ),
        )

    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The tensors as stored, mapped from their files.

        Raises:
            CheckpointError, UnsafePickleError: as `header`.
        """
        self._complete(ref)
        return self.reader.open(ref)

    def _complete(self, ref: CheckpointRef) -> Revision:
        """The revision of `ref`, its snapshot whole."""
        revision, snapshot = self.revisions[ref.key], Path(ref.uri)
        where = f"{self.repo_id}@{revision.name}"
        command = f"`hf download {self.repo_id} --revision {revision.name}`"
        if not snapshot.is_dir():
            raise NoCheckpointError(
                f"{where}: not in the hub cache{self._asked()}, expected its snapshot at {snapshot}. "
                f"Fetch it with {command}"
            )
        if missing := missing_files(snapshot):
            cut_off = unfinished_downloads(cached_model(self.repo_id))
            beside = f"; {cut_off} downloads of {self.repo_id} were cut off (blobs/*.incomplete)"
            raise CheckpointError(
                f"{where}: its snapshot {snapshot} lacks {listed(missing, _NUM_SHOWN)}"
                f"{beside if cut_off else ''}{self._asked()}. "
                f"Complete it with {command}"
            )
        return revision

    def _asked(self) -> str:
        return f" (the hub did not give it: {self.not_fetched})" if self.not_fetched else ""


def _source(
    address: _Address, snapshots: Mapping[str, Path], *, notices: tuple[str, ...] = (), not_fetched: str = ""
) -> HubSource:
    ordered = in_order_of_training(snapshots)
    refs = tuple(
        CheckpointRef(
            run=address.run,
            step=revision.step,
            uri=str(snapshots[revision.name]),
            format=_FORMAT,
            label=revision.label,
        )
        for revision in ordered
    )
    reader = AdapterSource if any(map(holds_adapter, snapshots.values())) else HuggingFaceSource
    return HubSource(
        run=address.run,
        repo_id=address.repo_id,
        revisions={ref.key: revision for ref, revision in zip(refs, ordered, strict=True)},
        reader=reader(run=address.run, checkpoints=refs, notices=notices),
        not_fetched=not_fetched,
    )


def _single(address: _Address) -> HubSource:
    """One revision: from the cache where it is whole, else downloaded if it was asked for by name."""
    model = cached_model(address.repo_id)
    snapshot = model.snapshot(address.revision)
    not_fetched = ""
    whole = snapshot is not None and not missing_files(snapshot)
    if address.given is not None and not whole and address.asks_network:
        try:
            snapshot = download(address.repo_id, address.revision)
        except NotFetchedError as error:
            if snapshot is None:
                raise _absent(address, model, f"the hub did not give it ({error})") from error
            not_fetched = str(error)
    if snapshot is None:
        raise _absent(address, model, address.silence)
    return _source(address, {address.revision: snapshot}, not_fetched=not_fetched)


def _series(address: _Address) -> HubSource:
    """The revisions that match a pattern, in the cache or on the hub; nothing is downloaded."""
    model = cached_model(address.repo_id)
    on_hub: Mapping[str, str] = {}
    notice = "HF_HUB_OFFLINE is set: only cached revisions are listed"
    if not is_offline() and not address.asks_network:
        notice = f"{address.silence}: only cached revisions are listed"
    if address.asks_network:
        try:
            on_hub = revisions_on_hub(address.repo_id)
        except NotFetchedError as error:
            notice = f"the hub was not reached ({error}): only cached revisions are listed"
        else:
            notice = ""
    known = {name: model.folder / "snapshots" / commit for name, commit in on_hub.items()} | model.revisions
    matching = {name: folder for name, folder in known.items() if fnmatchcase(name, address.revision)}
    if not matching:
        raise _absent(address, model, notice or f"the hub lists {_named(sorted(on_hub, key=natural_key))}")
    absent = [
        revision.name for revision in in_order_of_training(matching) if not matching[revision.name].is_dir()
    ]
    if absent and not notice:
        notice = (
            f"{len(absent)} of {len(matching)} matching revisions of {address.repo_id} are on the hub and "
            f"not in the cache; a pattern downloads nothing: {listed(absent, _NUM_SHOWN)}"
        )
    return _source(address, matching, notices=(notice,) if notice else ())


def _absent(address: _Address, model: CachedModel, reason: str) -> CheckpointError:
    cached = [*sorted(model.revisions, key=natural_key), *model.commits]
    wanted = "no revision there matches" if address.is_pattern else "not there"
    revision = "NAME" if address.is_pattern else address.revision
    return CheckpointError(
        f"{address.repo_id}@{address.revision}: no such file or folder; taken as a model of the Hugging Face "
        f"hub, {wanted}: its cache {model.folder.parent} holds {_named(cached)} of {address.repo_id}, and "
        f"{reason}. "
        f"Give one that it holds, or fetch it first: `hf download {address.repo_id} --revision {revision}`"
    )


def _named(names: Sequence[str]) -> str:
    return listed(names, _NUM_SHOWN) or "no revision"
