"""The one exception tree of `spectra`, caught only in `cli/`.

    SpectraError                    anything that the user can act upon
    +-- UsageError                  the request cannot mean anything              (exit 2)
    |   +-- UnknownNameError        a word that is none of those known
    |   +-- NotHeldError            a step, a layer or a matrix that is not there
    |   +-- AlreadyThereError       what would be written is there already
    |   +-- MissingExtraError       a package that an extra brings is not installed
    +-- DataError                   a file or its content is not what it must be   (exit 3)
    |   +-- NotComparableError      runs that were not measured alike
    |   +-- UnwrittenError          a file or stdout does not take what is written
    |   +-- CheckpointError         a checkpoint, its folder or its tensors
    |   |   +-- NoCheckpointError   nothing there is a checkpoint
    |   |   +-- NoReaderError       a format whose package is not installed        (exit 2)
    |   |   +-- UnsafePickleError   a pickle that needs more than harmless types
    |   +-- ModelError              a checkpoint does not fit the model, or the model cannot be measured
    |   |   +-- ContradictionError  configuration and tensors are of different models
    |   |   +-- OwnCodeError        code of the user's, or of the checkpoint's, failed
    |   |   +-- OutOfMemoryError    memory ran out in spite of the plan
    |   +-- ProbeError              the probe: tokens, tokenizer, lengths
    |   +-- ArchiveError            an archive or a part of it is damaged
    |       +-- NoArchiveError      there is none
    |       +-- OtherRunError       it is of another run, or of a scan with other settings
    |       +-- NewerFormatError    it was written by a newer version
    |       +-- BusyError           another process writes it
    |       +-- UnwrittenArchiveError   the disk does not take it
    +-- BudgetError                 the memory budget is smaller than the smallest plan (exit 3)

Every message says what was found, what was expected, where, and what to do next. Its `code` names its family,
which has a page (`error_pages.py`, `spectra explain CODE`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class SpectraError(Exception):
    """Anything that went wrong and that the user can act upon."""

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = ""


class UsageError(SpectraError):
    """The request contradicts itself or names something that does not exist."""

    exit_code = 2
    code = "wrong-request"


class UnknownNameError(UsageError):
    """A word is none of those that are known there; the nearest and all of them are told."""

    code = "unknown-name"


class NotHeldError(UsageError):
    """A step, a layer or a matrix is not in the archive or the model that it was asked of."""

    code = "not-held"


class AlreadyThereError(UsageError):
    """What would be written is there already, and is not replaced unasked."""

    code = "already-there"


class MissingExtraError(UsageError):
    """A package is needed that the plain installation does not bring."""

    code = "missing-extra"


class DataError(SpectraError):
    """A file or its content is not what it must be, or not enough for what is asked."""

    code = "not-enough"


class NotComparableError(DataError):
    """Runs were not measured alike, so that their numbers would differ for that alone."""

    code = "not-comparable"


class UnwrittenError(DataError):
    """A file or stdout does not take what is written to it."""

    code = "cannot-write"


class CheckpointError(DataError):
    """A checkpoint, its folder or its tensors are not what they must be."""

    code = "broken-checkpoint"


class NoCheckpointError(CheckpointError):
    """Nothing there is a checkpoint of a known format."""

    code = "no-checkpoint"


class NoReaderError(CheckpointError):
    """A format of checkpoints is read by a package that the plain installation does not bring."""

    exit_code = MissingExtraError.exit_code
    code = MissingExtraError.code


class UnsafePickleError(CheckpointError):
    """A pickle needs a type outside the allow-list; nothing of it was executed."""

    code = "unsafe-pickle"


class ModelError(DataError):
    """A checkpoint does not fit its model, or the model cannot be measured."""

    code = "unfit-model"


class ContradictionError(ModelError):
    """The configuration describes another model than the tensors are of."""

    code = "contradiction"


class OwnCodeError(ModelError):
    """Code of the user's, or that the checkpoint brings, failed or returned something else."""

    code = "own-code"


class OutOfMemoryError(ModelError):
    """Memory ran out while a model was read, built or run."""

    code = "too-little-memory"


class ProbeError(DataError):
    """The probe has too few tokens, ids outside the vocabulary, or an unknown format."""

    code = "unfit-probe"


class ArchiveError(DataError):
    """An archive or a part file is damaged or incomplete."""

    code = "broken-archive"


class NoArchiveError(ArchiveError):
    """There is no archive where one was looked for."""

    code = "no-archive"


class OtherRunError(ArchiveError):
    """An archive is of another run, or of a scan with other settings."""

    code = "other-run"


class NewerFormatError(ArchiveError):
    """An archive was written in a format that this version does not know."""

    code = "newer-format"


class BusyError(ArchiveError):
    """Another process writes the archive."""

    code = "being-written"


class UnwrittenArchiveError(ArchiveError):
    """An archive could not be written; what was there before is untouched."""

    code = "cannot-write"


class BudgetError(SpectraError):
    """The memory budget is smaller than the smallest plan that works."""

    code = "too-little-memory"


def families(of: type[SpectraError] = SpectraError) -> Iterator[type[SpectraError]]:
    """The classes of errors that have a code, those of a class before its own subclasses."""
    if of.code:
        yield of
    for kind in of.__subclasses__():
        yield from families(kind)


def exit_codes() -> dict[str, int]:
    """The exit code of each family, by its code."""
    return {kind.code: kind.exit_code for kind in families()}
