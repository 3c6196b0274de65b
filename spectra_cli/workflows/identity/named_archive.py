"""The archive that a name stands for: its own path, or the folder that it was scanned from.

An archive that is found by a folder's name has to be of that folder: `exp1/out` and `exp2/out` have one name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spectra_cli.archive.content.layout import archives_meant, resolve_archive
from spectra_cli.archive.origin import lies_in, origin_of
from spectra_cli.archive.reader import Archive, open_archive
from spectra_cli.core.errors import OtherRunError, SpectraError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words.names import listed
from spectra_cli.workflows.identity.same_run import judge_archive, run_asked

_NUM_NAMED = 3


def open_named(name: AnyPath) -> Archive:
    """The archive at the path `name`, or of the checkpoints there.

    Raises:
        ArchiveError: there is no such archive, it is damaged, or it is of other checkpoints than those.
    """
    archive = open_archive(resolve_archive(name, Path.cwd()))
    check_is_of(archive, name)
    return replace(archive, passed_over=archives_meant(name, Path.cwd())[1:])


def open_all(names: Sequence[AnyPath]) -> tuple[Archive, ...]:
    """`open_named` of several."""
    return tuple(map(open_named, names))


def check_is_of(archive: Archive, name: AnyPath) -> None:
    """Check that an archive which was found by the name of checkpoints is of them.

    Raises:
        ArchiveError: it is of others.
    """
    given = os.fspath(name)
    if Path.cwd() / given == archive.path or not (os.path.exists(given) or "/" in given.strip("/")):
        return  # named itself, by its path or without its suffix
    if origin_of(given) in archive.origins or any(lies_in(ref.uri, given) for ref in archive.refs):
        return
    if why := _why_of_others(archive, given):
        raise OtherRunError(
            f"{archive.path} is {of_words(archive)}, not of {given}: {why}. Give the path of the archive "
            f"that was made of {given}, or make one with `spectra scan {given} -o NAME.spectra.h5`; to see "
            f"this one, give its own path, {archive.path}"
        )


def of_words(archive: Archive) -> str:
    """Of which run an archive is, and how much of it it holds.

    `of /runs/a (2 checkpoints, step100 to step200)`
    """
    refs = archive.refs
    span = f"{refs[0].key} to {refs[-1].key}" if len(refs) > 1 else refs[0].key
    plural = "s" * (len(refs) != 1)
    return f"of {listed(archive.origins, _NUM_NAMED)} ({len(refs)} checkpoint{plural}, {span})"


def _why_of_others(archive: Archive, given: str) -> str:
    from spectra_cli.extract.checkpoints.registry import find_source

    if not os.path.exists(given):
        return "there is nothing at that path to know a moved run by"
    try:
        source = find_source(given)
        return judge_archive(archive, run_asked(given, source, ())).why_another
    except SpectraError as error:
        reason = str(error).splitlines()[0].removesuffix(". Expected one of")
        return f"what is there cannot be compared with it ({reason})"
