"""A file written whole or not at all: under another name beside it, and renamed when it is complete."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from spectra_cli.archive.file.atomic import remove_stale_temporaries, temporary_beside
from spectra_cli.core.errors import AlreadyThereError, DataError, UnwrittenError, UsageError
from spectra_cli.core.paths import make_folder

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def check_target(path: Path, flag: str, *, overwrite: bool) -> None:
    """Look, before any work is done, whether a file can be written there.

    Args:
        path: of the file; flag: the option that named it, for the message.
        overwrite: whether one that is there may be replaced.

    Raises:
        UsageError: a file is there and is to stay, or what is there is no file.
    """
    if path.is_dir():
        raise UsageError(f"{flag} {path} is a folder; name a file in it, such as {path / 'statistics.csv'}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{flag} {path} is no plain file, and would be replaced; -o - writes to stdout")
    if os.path.lexists(path) and not overwrite:
        raise _there(path, flag)


@contextmanager
def whole_file(path: Path, flag: str, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A stream of bytes whose content stands at `path` when the block ends well; else nothing is left.

    The folder around it is made where it is not there.

    Args:
        path, flag, overwrite: as in `check_target`.

    Raises:
        DataError: it cannot be written; what was there is untouched.
        UsageError: a file appeared there meanwhile, and is to stay; or its folder cannot be made.
    """
    make_folder(path.parent, flag)
    temporary = temporary_beside(path)
    take = os.replace if overwrite else _take_the_name
    try:
        remove_stale_temporaries(path.parent, name_prefix=f"{path.name}.")
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        take(temporary, path)
    except FileExistsError as error:
        raise _there(path, flag) from error
    except OSError as error:
        raise _not_written(path, flag, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _take_the_name(temporary: Path, path: Path) -> None:
    """Rename, unless a file has the name.

    Raises:
        FileExistsError: one has.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):  # a file system without links
            raise FileExistsError(errno.EEXIST, "exists", str(path)) from error
        os.replace(temporary, path)


def _there(path: Path, flag: str) -> UsageError:
    return AlreadyThereError(f"{flag} {path} exists; --overwrite replaces it")


def _not_written(path: Path, flag: str, error: OSError) -> DataError:
    advice = "Free space there" if error.errno in _FULL else "Check that the folder is writable"
    return UnwrittenError(
        f"cannot write {path}: {error.strerror or error}. Nothing half is left there, and what was there "
        f"before is untouched. {advice}, or name another place with {flag}, and run the command again."
    )
