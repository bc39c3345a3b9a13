"""The checkpoint container: one zip archive of `manifest.json` and `.npy` arrays that cannot run code.

Writing is atomic: whatever happens, the old file or the new one is there, whole. Reading trusts nothing:
names, sizes, shapes and dtypes are compared with the manifest before anything is allocated, then the
SHA-256 of every array; all differences are reported at once. Members are stored, not compressed, so that
an archive never holds more than its own length. No header is evaluated and nothing is unpickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .files import replacing

Array = NDArray[Any]

FORMAT_VERSION = 1
MAX_BYTES = 1 << 36  # largest archive that is read unless the caller says otherwise: 64 GiB
_MAX_MANIFEST = 1 << 26  # a manifest above 64 MiB is not one of ours
_CHUNK = 1 << 20

_MANIFEST = "manifest.json"
_MEMBER = re.compile(r"arrays/[0-9]{4,9}\.npy")
_FIELDS = {"member": str, "shape": list, "dtype": str, "bytes": int, "sha256": str}
DTYPES = {  # name in the manifest -> code in the .npy header
    "bool": "|b1", "int8": "|i1", "uint8": "|u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4",
    "uint32": "<u4", "int64": "<i8", "uint64": "<u8", "float16": "<f2", "float32": "<f4", "float64": "<f8",
    "complex64": "<c8", "complex128": "<c16",
}  # fmt: skip
_BROKEN = (zipfile.BadZipFile, struct.error, ValueError, EOFError, RuntimeError, OverflowError, IndexError)


class CheckpointError(ValueError):
    """A file that is not a whole, unchanged checkpoint, or does not fit what it is loaded into.

    `problems` lists everything that was found; the message has one line for each.

    >>> print(CheckpointError("a.tgr", ["array 'w': missing", "array 'b': missing"]))
    a.tgr cannot be loaded:
      array 'w': missing
      array 'b': missing
    """

    def __init__(self, path: str | os.PathLike[str], problems: list[str]) -> None:
        super().__init__("\n  ".join([f"{os.fspath(path)} cannot be loaded:", *problems]))
        self.problems = problems


# --- writing --------------------------------------------------------------------------------------


def write_archive(
    path: str | os.PathLike[str], manifest: Mapping[str, Any], arrays: Mapping[str, Array]
) -> None:
    """Save a manifest (JSON values) and named arrays in one file, atomically.

    It takes the place of `path` in one step (`files.replacing`): the old file stays whole until the new one
    is. Equal contents give equal files.

    Raises `TypeError` for an array that is not of plain numbers or a manifest that is not JSON,
    `ValueError` if the manifest uses the keys "arrays" or "format_version" or is too long to be read again,
    `OSError` if the disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_archive(folder + "/a.tgr", {"class": "LSTM"}, {"lstm/kernel": np.ones((2, 3))})
    ...     manifest, arrays = read_archive(folder + "/a.tgr")
    >>> manifest, arrays["lstm/kernel"].shape
    ({'class': 'LSTM'}, (2, 3))
    """
    for key in {"format_version", "arrays"} & set(manifest):
        raise ValueError(f"write_archive: the manifest must not use the key {key!r}; rename it")
    ready = {name: _savable(name, value) for name, value in arrays.items()}
    records = {name: _record(i, value) for i, (name, value) in enumerate(ready.items())}
    text = json.dumps({"format_version": FORMAT_VERSION, **manifest, "arrays": records}, indent=1)
    if len(text) > _MAX_MANIFEST:
        raise ValueError(
            f"write_archive: the manifest has {len(text)} characters; at most {_MAX_MANIFEST} are read"
        )
    with replacing(path) as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(_info(_MANIFEST), text)
            for name, value in ready.items():
                with archive.open(_info(records[name]["member"]), "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, value, version=(1, 0), allow_pickle=False)


def _savable(name: str, value: Any) -> Array:
    """The array in C order and little-endian, the only layout that is written."""
    array = np.asarray(value)
    if array.dtype.name not in DTYPES:
        known = ", ".join(DTYPES)
        raise TypeError(f"write_archive: array {name!r} has dtype {array.dtype}; expected one of {known}")
    return np.asarray(array, dtype=DTYPES[array.dtype.name], order="C")  # leaves shape () alone


def _record(index: int, array: Array) -> dict[str, Any]:
    return {
        "member": f"arrays/{index:04d}.npy",
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "bytes": array.nbytes,
        "sha256": hashlib.sha256(_flat_bytes(array)).hexdigest(),
    }


def _flat_bytes(array: Array) -> memoryview:
    """The bytes of a C-ordered array, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # dated 1980: equal contents give equal files
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


# --- reading --------------------------------------------------------------------------------------


def read_archive(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Load what `write_archive` saved: `(manifest, arrays)`, checked bit for bit.

    Nothing larger than `max_bytes` is read. Raises `FileNotFoundError` if there is no such file, and one
    `CheckpointError` that lists everything wrong with a damaged, foreign or forged one.

    >>> read_archive("no_such_file.tgr")
    Traceback (most recent call last):
    ...
    FileNotFoundError: [Errno 2] No such file or directory: 'no_such_file.tgr'
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise CheckpointError(path, [f"it has {size} bytes, more than max_bytes={max_bytes}"])
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(archive, size)
        except _Refused as refused:
            raise CheckpointError(path, refused.args[0]) from None
        except (*_BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a seek to before the start
                raise
            raise CheckpointError(path, [f"not a whole zip archive: {error}"]) from error


class _Refused(Exception):
    """A list of problems, on its way to the `CheckpointError` that knows the path."""


def _read(archive: zipfile.ZipFile, size: int) -> tuple[dict[str, Any], dict[str, Array]]:
    members = archive.infolist()
    counts = Counter(info.filename for info in members)
    problems = [f"member {name!r} occurs {n} times" for name, n in counts.items() if n > 1]
    problems += [text for info in members for text in _check_member(info)]
    if sum(info.file_size for info in members) > size:
        problems.append("its members claim more bytes than the file has")
    if _MANIFEST not in counts:
        problems.append(f"member {_MANIFEST!r} is missing: this is not a tinygrad_rnn archive")
    if problems:
        raise _Refused(problems)
    by_name = {info.filename: info for info in members}
    manifest = _read_manifest(archive, by_name.pop(_MANIFEST))
    version, records = manifest.pop("format_version", None), manifest.pop("arrays", None)
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise _Refused([f"format_version is {version!r}; this tinygrad_rnn reads {FORMAT_VERSION}"])
    if not isinstance(records, dict):
        raise _Refused([f"{_MANIFEST}: 'arrays' must be an object, received {type(records).__name__}"])

    problems = []
    for name, record in records.items():
        problems += [f"array {name!r}: {text}" for text in _check_record(archive, record, by_name)]
    problems += [f"member {name!r} is not in the manifest" for name in by_name]
    if problems:
        raise _Refused(problems)

    arrays: dict[str, Array] = {}
    for name, record in records.items():
        try:
            arrays[name] = _read_array(archive, record)
        except (*_BROKEN, MemoryError) as error:
            problems.append(f"array {name!r}: {error}")
    if problems:
        raise _Refused(problems)
    return manifest, arrays


def _check_member(info: zipfile.ZipInfo) -> list[str]:
    """What is wrong with one entry of the zip directory, before anything of it is read."""
    name = info.filename
    if name != info.orig_filename or not (name == _MANIFEST or _MEMBER.fullmatch(name)):
        return [f"member {info.orig_filename!r} has a foreign name; expected {_MANIFEST} or arrays/NNNN.npy"]
    problems = []
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
        problems.append(f"member {name!r} is compressed or encrypted; members must be stored")
    if stat.S_ISLNK(info.external_attr >> 16):
        problems.append(f"member {name!r} is a symbolic link")
    return problems


def _read_manifest(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> dict[str, Any]:
    if info.file_size > _MAX_MANIFEST:
        raise _Refused([f"{_MANIFEST} has {info.file_size} bytes; at most {_MAX_MANIFEST} are read"])
    try:
        manifest = json.loads(archive.read(info).decode("utf-8"), object_pairs_hook=_no_duplicates)
    except _BROKEN as error:  # RecursionError is a RuntimeError
        raise _Refused([f"{_MANIFEST} cannot be read: {error}"]) from error
    if not isinstance(manifest, dict):
        raise _Refused([f"{_MANIFEST} must hold an object, received {type(manifest).__name__}"])
    return manifest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, n in Counter(key for key, _ in pairs).items():
        if n > 1:
            raise ValueError(f"the key {key!r} occurs {n} times")
    return dict(pairs)


def _check_record(archive: zipfile.ZipFile, record: Any, members: dict[str, zipfile.ZipInfo]) -> list[str]:
    """Compare what the manifest says of one array with its member; takes the member out of `members`."""
    if not isinstance(record, dict) or set(record) != set(_FIELDS):
        return [f"its record must have exactly the keys {', '.join(_FIELDS)}"]
    wrong = [key for key, kind in _FIELDS.items() if type(record[key]) is not kind]
    if wrong:
        return [f"{key!r} must be of type {_FIELDS[key].__name__}" for key in wrong]
    shape, dtype = record["shape"], record["dtype"]
    if len(shape) > 64 or any(type(n) is not int or n < 0 for n in shape):
        return ["'shape' must be a list of at most 64 non-negative integers"]
    if dtype not in DTYPES:
        return [f"dtype {dtype[:40]!r} is not one of {', '.join(DTYPES)}"]
    count = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if record["bytes"] != count:
        return [f"shape {tuple(shape)} of {dtype} has {count} bytes, but 'bytes' is {record['bytes']}"]
    info = members.pop(record["member"], None)
    if info is None:
        return [f"member {record['member'][:80]!r} is missing, or belongs to another array"]
    if not count < info.file_size <= count + 20_000:
        return [f"member {info.filename!r} has {info.file_size} bytes; expected {count} and a header"]
    try:
        with archive.open(info) as stream:
            header = _read_header(stream)
    except _BROKEN as error:
        return [str(error)]
    # the header is compared with the only text it may have, never evaluated
    expected = f"{{'descr': {DTYPES[dtype]!r}, 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    if header.strip() != expected or info.file_size != 10 + len(header) + count:
        return [f"the header of {info.filename!r} says {header.strip()[:200]!r}; expected {expected!r}"]
    return []


def _read_header(stream: IO[bytes]) -> str:
    start = stream.read(10)
    if len(start) < 10 or start[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("not a .npy file of version 1.0")
    return stream.read(int.from_bytes(start[8:], "little")).decode("latin1")


def _read_array(archive: zipfile.ZipFile, record: dict[str, Any]) -> Array:
    """Read one array whose record was checked; raises `ValueError` if its bytes are not those saved."""
    array: Array = np.empty(record["shape"], DTYPES[record["dtype"]])
    data, digest = _flat_bytes(array), hashlib.sha256()
    with archive.open(record["member"]) as stream:
        _read_header(stream)
        for start in range(0, len(data), _CHUNK):
            part = stream.read(_CHUNK)
            data[start : start + _CHUNK] = part
            digest.update(part)
    if digest.hexdigest() != record["sha256"]:
        raise ValueError(f"damaged: its SHA-256 is {digest.hexdigest()}, not {record['sha256'][:80]}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def below(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays whose names begin with `prefix`, by the rest of their names.

    >>> sorted(below("states/", {"states/h": np.ones(1), "weights/h": np.ones(1)}))
    ['h']
    """
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


# --- fitting what was read into what is there ------------------------------------------------------


def match_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Array],
    expected: Mapping[str, Any],
    *,
    cast: bool = False,
    finite: bool = True,
    hints: bool = False,
) -> dict[str, Array]:
    """The arrays in the order of `expected`, if every name, shape and dtype agrees; otherwise none.

    `expected` maps names to anything with `shape` and `dtype`. `cast=True` converts between float types;
    `finite=False` lets NaN and infinity through. Raises one `CheckpointError` with every mismatch, and with
    `hints` to these two arguments if the caller has them.

    >>> match_arrays("a.tgr", {"w": np.ones(3)}, {"w": np.ones(2), "b": np.ones(1)})
    Traceback (most recent call last):
    ...
    tinygrad_rnn.container.CheckpointError: a.tgr cannot be loaded:
      array 'w': expected shape (2,), the file has (3,)
      array 'b': missing
    """
    problems, result = [], {}
    for name, want in expected.items():
        array = arrays.get(name)
        if array is None:
            problems.append(f"array {name!r}: missing")
            continue
        shape, dtype = tuple(want.shape), np.dtype(want.dtype)
        floats = array.dtype.kind == dtype.kind == "f"
        if array.shape != shape:
            problems.append(f"array {name!r}: expected shape {shape}, the file has {array.shape}")
        if array.dtype != dtype and not (cast and floats):
            hint = "; pass cast=True to convert" if floats and hints else ""
            problems.append(f"array {name!r}: expected dtype {dtype}, the file has {array.dtype}{hint}")
        if finite and not np.isfinite(array).all():
            bad = int(array.size - np.isfinite(array).sum())
            hint = "; pass finite=False to load them" if hints else ""
            problems.append(f"array {name!r}: {bad} of {array.size} values are NaN or infinite{hint}")
        result[name] = array.astype(dtype, copy=False)
    problems += [f"array {name!r}: nothing to load it into" for name in arrays if name not in expected]
    if problems:
        raise CheckpointError(path, problems)
    return result
