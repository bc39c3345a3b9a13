"""Writing a file so that it is there as a whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for bytes that takes the place of `path` when the block ends without an error.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and are renamed in one
    step; a failure removes the temporary file and leaves the old one as it was. Only a killed process
    leaves a hidden `.NAME.….tmp` behind. Raises `OSError`, with `path`, if the disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(folder + "/a.txt") as file:
    ...         _ = file.write(b"all of it")
    ...     Path(folder, "a.txt").read_text()
    'all of it'
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    temporary = target.with_name(f".{target.name[:80]}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as file:
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
    if os.name == "posix":  # make the renaming itself durable; elsewhere a folder cannot be opened
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
