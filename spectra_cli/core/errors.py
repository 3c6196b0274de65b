"""The one exception tree of `spectra`, caught only in `cli/`.

    SpectraError                 anything that the user can act upon
    +-- UsageError               the request cannot mean anything            (exit 2)
    |   +-- UnknownNameError     a word that is none of those known
    +-- DataError                a file or its content is not what it must be (exit 3)
    |   +-- CheckpointError      a checkpoint, its folder or its tensors
    |   |   +-- UnsafePickleError  a pickle that needs more than harmless types
    |   +-- ModelError           a checkpoint does not fit the model, or the model cannot be measured
    |   +-- ProbeError           the probe: tokens, tokenizer, lengths
    |   +-- ArchiveError         an archive or a part of it
    +-- BudgetError              the memory budget is smaller than the smallest plan (exit 3)

Every message says what was found, what was expected, where, and what to do next.
"""

from __future__ import annotations


class SpectraError(Exception):
    """Anything that went wrong and that the user can act upon."""

    exit_code = 3


class UsageError(SpectraError):
    """The request contradicts itself or names something that does not exist."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A word is none of those that are known there; the nearest and all of them are told."""


class DataError(SpectraError):
    """A file or its content is not what it must be."""


class CheckpointError(DataError):
    """A checkpoint, its folder or its tensors are not what they must be."""


class UnsafePickleError(CheckpointError):
    """A pickle needs a type outside the allow-list; nothing of it was executed."""


class ModelError(DataError):
    """A checkpoint does not fit its model, or the model cannot be measured."""


class ProbeError(DataError):
    """The probe has too few tokens, ids outside the vocabulary, or an unknown format."""


class ArchiveError(DataError):
    """An archive or a part file is damaged, incomplete or of another scan."""


class BudgetError(SpectraError):
    """The memory budget is smaller than the smallest plan that works."""
