"""Writing a file so that it is there as a whole or not at all, and the folders for it."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for bytes that takes the place of `path` when the block ends without an error.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and are renamed in one
    step; a failure removes the temporary file and leaves the old one as it was. Only a killed process
    leaves a hidden `.NAME.….tmp` behind. A new file may be read by those who could read the old one. Raises
    `OSError`, with `path`, if the disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(folder + "/a.txt") as file:
    ...         _ = file.write(b"all of it")
    ...     Path(folder, "a.txt").read_text()
    'all of it'
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    # of names, which end at 255 bytes, what fits
    name = os.fsencode(target.name)[:80].decode(sys.getfilesystemencoding(), errors="ignore")
    temporary = target.with_name(f".{name}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if target.exists():
                with suppress(OSError):
                    os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            message = f"{error.strerror} (while saving; a file that was there before is untouched)"
            raise OSError(error.errno, message, os.fspath(path)) from error
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _make_durable(target.parent, path)


def make_folder(folder: str | os.PathLike[str], owner: str) -> None:
    """Make a folder with all above it, unless it is there; raises `NotADirectoryError` if a file is in the way."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        found = next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
        raise NotADirectoryError(
            f"{owner}: expected a folder at {os.fspath(folder)!r}, but {os.fspath(found)!r} is a file; give another "
            "path, or move the file away"
        ) from None


def _make_durable(folder: Path, path: str | os.PathLike[str]) -> None:
    """Make the renaming last, too; a folder that may be written but not read is left as it is."""
    try:
        opened = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(opened)
    except OSError as error:
        message = f"{error.strerror} (the new file is there, but a power failure may take it back)"
        raise OSError(error.errno, message, os.fspath(path)) from error
    finally:
        os.close(opened)
