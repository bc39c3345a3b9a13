"""The checkpoint container: round trips, every kind of damage and forgery, kills, full disks."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.container import DTYPES, CheckpointError, match_arrays, read_archive, write_archive

posix = pytest.mark.skipif(os.name != "posix", reason="uses POSIX signals, limits and modes")

ARRAYS: dict[str, Any] = {
    "lstm/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "слой_α/смещение": np.array(3.5),
    "empty": np.zeros((0, 4), np.int64),
}
MANIFEST = {"class": "Sequential", "config": {"units": [1, 2], "имя": "é\ud800"}, "seed": 2**127 + 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    result = tmp_path / "модель é.tgr"
    write_archive(result, MANIFEST, ARRAYS)
    return result


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forge(path: Path, content: dict[str, bytes] | list[tuple[Any, bytes]], compression: int = 0) -> None:
    """Write a zip archive by hand: valid check sums, any content."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items() if isinstance(content, dict) else content:
            archive.writestr(name, data)


def forge_record(path: Path, name: str = "lstm/kernel", data: bytes | None = None, **changes: Any) -> None:
    """Change one array's entry in the manifest, and the bytes of its member if `data` is given."""
    content = members(path)
    manifest = json.loads(content["manifest.json"])
    record = manifest["arrays"][name]
    if data is not None:
        content[record["member"]] = data
    record.update(changes)
    content["manifest.json"] = json.dumps(manifest).encode()
    forge(path, content)


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def refused(path: Path, *words: str, **options: Any) -> CheckpointError:
    with pytest.raises(CheckpointError) as info:
        read_archive(path, **options)
    for word in (str(path), *words):
        assert word in str(info.value)
    return info.value


def same(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


# --- what goes in comes out -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (0,), (2, 0, 3), (2, 1, 5)])
def test_round_trip(tmp_path: Path, dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    array = (rng.normal(size=shape) * 50).astype("int64").astype(dtype)
    write_archive(tmp_path / "a", {}, {"x": array})
    manifest, arrays = read_archive(tmp_path / "a")
    assert manifest == {} and list(arrays) == ["x"]
    assert type(arrays["x"]) is np.ndarray and same(arrays["x"], np.asarray(array))
    assert arrays["x"].flags.writeable and arrays["x"].flags.c_contiguous


def test_layouts_are_made_plain(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4, 5))
    given = {
        "T": x.T, "fortran": np.asfortranarray(x), "strided": x[::-1, ::2, 1:], "big endian": x.astype(">f8"),
        "broadcast": np.broadcast_to(x[:, :1, :1], x.shape), "scalar": np.float32(2), "list": [1, 2],
    }  # fmt: skip
    for _ in range(2):
        write_archive(tmp_path / "a", {}, given)
        _, arrays = read_archive(tmp_path / "a")
        for name, value in given.items():
            np.testing.assert_array_equal(arrays[name], value)
            assert arrays[name].dtype.isnative and arrays[name].shape == np.shape(value)


def test_special_values_survive(tmp_path: Path) -> None:
    x = np.array([np.nan, -np.nan, np.inf, -0.0, 5e-324])
    write_archive(tmp_path / "a", {}, {"x": x})
    assert read_archive(tmp_path / "a")[1]["x"].tobytes() == x.tobytes()


def test_manifest_and_names_survive(path: Path) -> None:
    manifest, arrays = read_archive(path)
    assert manifest == MANIFEST
    assert list(arrays) == list(ARRAYS) and all(same(arrays[n], ARRAYS[n]) for n in ARRAYS)
    assert os.listdir(path.parent) == [path.name]


def test_many_arrays(tmp_path: Path) -> None:
    write_archive(tmp_path / "a", {}, {f"w{i}": np.full(i % 3, i) for i in range(300)})
    assert [a.sum() for a in read_archive(tmp_path / "a")[1].values()] == [i * (i % 3) for i in range(300)]


def test_layout_of_the_file(path: Path) -> None:
    content = members(path)
    assert list(content) == ["manifest.json", "arrays/0000.npy", "arrays/0001.npy", "arrays/0002.npy"]
    record = json.loads(content["manifest.json"])["arrays"]["lstm/kernel"]
    assert record["sha256"] == hashlib.sha256(ARRAYS["lstm/kernel"].tobytes()).hexdigest()
    assert (record["shape"], record["dtype"], record["bytes"]) == ([2, 3], "float32", 24)
    with np.load(path) as plain:  # NumPy alone can read the arrays
        np.testing.assert_array_equal(plain["arrays/0000"], ARRAYS["lstm/kernel"])


def test_equal_contents_give_equal_files(path: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "b", MANIFEST, ARRAYS)
    assert (tmp_path / "b").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "value", [np.array([None]), np.array(["a"]), np.zeros(2, "i4,f4"), np.zeros(1, "M8[s]")]
)
def test_only_numbers_are_saved(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match="'layer/x' has dtype .* expected one of bool, int8"):
        write_archive(tmp_path / "a", {}, {"layer/x": value})
    assert os.listdir(tmp_path) == []


def test_bad_manifests_leave_the_old_file(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="must not use the key 'arrays'"):
        write_archive(path, {"arrays": {}}, {})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_archive(path, {"x": object()}, {})
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


@posix
def test_a_link_stays_a_link(path: Path) -> None:
    link = path.with_name("latest")
    link.symlink_to(path.name)
    write_archive(link, {"step": 2}, {})
    assert link.is_symlink() and read_archive(path) == ({"step": 2}, {})


# --- damage ---------------------------------------------------------------------------------------


def test_every_truncation_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path)
    path.write_bytes(whole)
    read_archive(path)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_flipped_bytes_are_refused_or_harmless(path: Path, flip: int) -> None:
    whole = path.read_bytes()
    found = 0
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ flip]) + whole[i + 1 :])
        try:
            manifest, arrays = read_archive(path)
        except CheckpointError:
            found += 1
        else:  # dates and the like
            assert manifest == MANIFEST and all(same(arrays[n], ARRAYS[n]) for n in ARRAYS)
    assert found > 0.8 * len(whole)


def test_hash_is_checked_even_when_the_crc_is_right(path: Path) -> None:
    changed = ARRAYS["lstm/kernel"].copy()
    changed[1, 2] += 1
    forge_record(path, data=npy(changed))
    assert len(refused(path, "array 'lstm/kernel': damaged: its SHA-256 is").problems) == 1


def test_all_problems_in_one_error(path: Path) -> None:
    content = members(path)
    for name in ("arrays/0000.npy", "arrays/0001.npy"):
        content[name] = content[name][:-1] + b"\xee"
    forge(path, content)
    assert len(refused(path, "'lstm/kernel': damaged", "'слой_α/смещение': damaged").problems) == 2


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.tgr"):
        read_archive(tmp_path / "none.tgr")
    with pytest.raises(OSError):
        read_archive(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x05\x06" + b"\0" * 18, pickle.dumps({"w": 1}), npy([1.0])]
)
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    refused(tmp_path / "a")


# --- forgery --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../x.npy", "/x.npy", "arrays/../x.npy", "arrays\\0007.npy", "a.txt", "arrays/", "arrays/0007.npy\n"],
)
def test_foreign_members(path: Path, name: str) -> None:
    forge(path, {**members(path), name: b"x"})
    refused(path, "foreign name")


def test_member_that_the_manifest_does_not_name(path: Path) -> None:
    forge(path, {**members(path), "arrays/0007.npy": npy([1.0])})
    refused(path, "'arrays/0007.npy' is not in the manifest")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["manifest.json", "arrays/0000.npy"])
def test_duplicate_members(path: Path, name: str) -> None:
    content = members(path)
    forge(path, [*content.items(), (name, content[name])])
    refused(path, f"{name!r} occurs 2 times")


@pytest.mark.parametrize("name", ["manifest.json", "arrays/0001.npy"])
def test_missing_members(path: Path, name: str) -> None:
    content = members(path)
    del content[name]
    forge(path, content)
    refused(path, name, "missing")


def test_symbolic_link_member(path: Path) -> None:
    content = members(path)
    link = zipfile.ZipInfo("arrays/0000.npy")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    del content["arrays/0000.npy"]
    forge(path, [*content.items(), (link, b"/etc/passwd")])
    refused(path, "symbolic link")


def test_two_arrays_must_not_share_a_member(path: Path) -> None:
    forge_record(path, "слой_α/смещение", member="arrays/0000.npy", shape=[2, 3], dtype="float32", bytes=24)
    refused(path, "belongs to another array", "'arrays/0001.npy' is not in the manifest")


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [3, 2]}, {"shape": [2, 4], "bytes": 32}, {"shape": [-2, -3]}, {"shape": [2.0, 3.0]},
        {"shape": [2, True]}, {"shape": [1] * 70, "bytes": 4}, {"shape": "23"}, {"shape": None},
        {"shape": [2**40, 0, 2**40], "bytes": 0}, {"shape": [2**60, 2**60], "bytes": 2**122},
        {"dtype": "int32"}, {"dtype": "float64", "bytes": 48}, {"dtype": "object"}, {"dtype": "<f4"},
        {"bytes": 25}, {"bytes": -24}, {"bytes": True}, {"sha256": "0" * 64}, {"sha256": None}, {"extra": 1},
        {"member": "arrays/0009.npy"}, {"member": "manifest.json"}, {"member": "../x"}, {"member": 3},
    ],
)  # fmt: skip
def test_forged_records(path: Path, changes: dict[str, Any]) -> None:
    forge_record(path, **changes)
    refused(path, "lstm/kernel")


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + b"\0" * 24


@pytest.mark.parametrize(
    "data",
    [
        header(HUGE),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }"),
        header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }"),
        header("__import__('os').system('true')"),
        header("(" * 5000),
        npy(np.array([[None] * 3] * 2), allow_pickle=True),
        npy(ARRAYS["lstm/kernel"]).replace(b"\x93NUMPY\x01", b"\x93NUMPY\x03"),
        npy(ARRAYS["lstm/kernel"])[:-1],
        npy(ARRAYS["lstm/kernel"]) + b"\0",
        b"\x93NUMPY\x01\x00\xff\xff" + b" " * 50,
        b"",
        b"x" * 152,
    ],
)
def test_forged_headers(path: Path, data: bytes) -> None:
    forge_record(path, data=data)
    refused(path, "lstm/kernel")


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"null", b"{}", b"{", b"\xff", b"[" * 100_000, b'{"format_version": 2, "arrays": {}}',
        b'{"format_version": true, "arrays": {}}', b'{"format_version": 1, "arrays": []}',
        b'{"format_version": 1, "arrays": {"a": 1}}', b'{"format_version": 1}', b"1" * 5000,
        b'{"format_version": 1, "arrays": {}, "class": "A", "class": "B"}',
    ],
)  # fmt: skip
def test_forged_manifests(path: Path, text: bytes) -> None:
    forge(path, {"manifest.json": text})
    refused(path)


def test_newer_format_says_so(path: Path) -> None:
    forge(path, {"manifest.json": b'{"format_version": 2, "arrays": {}}'})
    refused(path, "format_version is 2; this tinygrad_rnn reads 1")


def test_bombs_allocate_nothing(path: Path) -> None:
    """A compressed bomb, a shape of 8 TB, and a file above the cap."""
    size = 30_000_000
    zeros = npy(np.zeros(size, np.uint8))
    record = {"member": "arrays/0000.npy", "shape": [size], "dtype": "uint8", "bytes": size}
    text = json.dumps({"format_version": 1, "arrays": {"z": {**record, "sha256": "0" * 64}}}).encode()
    bomb = path.with_name("bomb")
    forge(bomb, {"manifest.json": text, "arrays/0000.npy": zeros}, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 100_000
    big = path.with_name("big")
    write_archive(big, {}, {"z": np.zeros(size, np.uint8)})
    huge = {"shape": [10**6, 10**6], "dtype": "float64", "bytes": 8 * 10**12}
    forge_record(path, data=header(HUGE), **huge)
    del zeros
    tracemalloc.start()
    try:
        refused(bomb, "compressed")
        refused(path, "8000000000000")
        refused(big, "more than max_bytes=1000000", max_bytes=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert read_archive(big)[1]["z"].shape == (size,)


def test_members_that_overlap_are_refused(path: Path) -> None:
    """A member inside the bytes of another: that way a small file can claim to hold a large one."""
    inner = np.arange(10_000.0)
    write_archive(path, {}, {"inner": inner, "outer": np.frombuffer(b"-" * 100_000, np.uint8)})
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("arrays/0000.npy")
        start = info.header_offset
        end = archive.getinfo("arrays/0001.npy").header_offset
    outer = np.frombuffer(path.read_bytes()[start:end].ljust(100_000, b"-"), np.uint8)
    write_archive(path, {}, {"inner": inner, "outer": outer})
    content = members(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", content["manifest.json"])
        archive.writestr("arrays/0001.npy", content["arrays/0001.npy"])
        info.header_offset = archive.start_dir - outer.size
        archive.filelist.append(info)
    refused(path, "claim more bytes")


@posix
def test_loading_malicious_files_runs_nothing(path: Path) -> None:
    """In a fresh process, with an audit hook: no import, no code, no other file, no process."""

    class Run:
        def __reduce__(self) -> Any:
            return os.system, ("true",)

    evil = npy(np.array([[Run()] * 3] * 2, dtype=object), allow_pickle=True)
    content = members(path)
    forge(path.with_name("evil1"), {**content, "arrays/0000.npy": evil})
    text = b'{"class": "os.system", "arrays": {}, "format_version": 1}'
    forge(path.with_name("evil2"), {**content, "manifest.json": text})
    forge(path.with_name("evil3"), {**content, "../x": pickle.dumps(Run())})
    path.with_name("evil4").write_bytes(pickle.dumps(Run()))
    code = f"""
import sys, encodings.cp437
from tinygrad_rnn.container import read_archive, CheckpointError
seen = []
files = [f"{path.parent}/evil{{i}}" for i in (1, 2, 3, 4)]
def hook(event, args):
    if event in ("import", "exec", "compile", "pickle.find_class", "os.system", "subprocess.Popen"):
        seen.append((event, args))
    if event == "open" and args[0] not in files:
        seen.append((event, args))
sys.addaudithook(hook)
for file in files:
    try:
        read_archive(file)
    except CheckpointError:
        pass
    else:
        seen.append(file)
assert not seen, seen
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


# --- interrupted saves ----------------------------------------------------------------------------


SAVER = """
import sys, itertools
import numpy as np
from tinygrad_rnn.container import write_archive
for i in itertools.count(1):
    arrays = {"w": np.full(200_000, i, np.float32), "v": np.full((300, 300), -i)}
    write_archive(sys.argv[1], {"step": i}, arrays)
    print(i, flush=True)
"""


@posix
def test_kill_during_save(path: Path) -> None:
    """After kill -9 at any moment the file is a whole one, not older than the last finished save."""
    delays = np.random.default_rng(7).uniform(0, 0.02, 15)
    for delay in delays:
        command = [sys.executable, "-c", SAVER, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        printed = [int(line) for line in process.stdout.read().split() if line]
        process.stdout.close()
        process.wait()
        manifest, arrays = read_archive(path)
        step = manifest["step"]
        assert step >= max(printed, default=1)
        assert (arrays["w"] == step).all() and (arrays["v"] == -step).all()


FULL_DISK = """
import resource, signal, sys
import numpy as np
from tinygrad_rnn.container import read_archive, write_archive
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in range(0, 60_000, 7_001):  # the limit falls into every part of the file
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_archive(sys.argv[1], {"new": 1}, {"w": np.zeros(5_000), "v": np.zeros(2_500)})
    except OSError as error:
        assert sys.argv[1] in str(error) and "while saving" in str(error), error
    else:
        raise SystemExit("the disk was not full")
"""


@posix
def test_full_disk(path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL_DISK, str(path)], check=True, cwd=Path(__file__).parents[1]
    )
    assert read_archive(path)[0] == MANIFEST
    assert os.listdir(path.parent) == [path.name]


def test_interrupt_removes_the_temporary_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for place in ("os.fsync", "os.replace", "numpy.lib.format.write_array"):
        with monkeypatch.context() as patch:
            patch.setattr(place, interrupted)
            with pytest.raises(KeyboardInterrupt):
                write_archive(path, {}, {"w": np.zeros(3)})
        assert read_archive(path)[0] == MANIFEST
        assert os.listdir(path.parent) == [path.name]


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="while saving"):
            write_archive(path, {}, {})
        assert read_archive(path)[0] == MANIFEST
    finally:
        path.parent.chmod(0o700)


def test_folder_that_cannot_take_files(path: Path) -> None:
    """No such folder; a file where the folder should be; a folder where the file should be."""
    with pytest.raises(FileNotFoundError, match="none"):
        write_archive(path.parent / "none" / "a.tgr", {}, {})
    with pytest.raises(OSError, match="while saving"):
        write_archive(path / "a.tgr", {}, {})
    (path.parent / "folder").mkdir()
    with pytest.raises(OSError, match="while saving"):
        write_archive(path.parent / "folder", {}, {})
    assert sorted(os.listdir(path.parent)) == ["folder", path.name]


def test_refused_by_the_system(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a read-only folder does, whoever runs the test."""

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", denied)
    with pytest.raises(PermissionError, match=r"Permission denied \(while saving.*untouched\)"):
        write_archive(path, {}, {})
    assert read_archive(path)[0] == MANIFEST and os.listdir(path.parent) == [path.name]


# --- fitting --------------------------------------------------------------------------------------


def test_match_arrays_lists_every_mismatch() -> None:
    expected = {"a": np.zeros(2), "b": np.zeros((2, 3)), "c": np.zeros(3, np.float32), "d": np.zeros(1)}
    arrays = {"b": np.zeros((3, 2)), "c": np.zeros(3), "d": np.array([np.nan]), "e": np.zeros(1)}
    with pytest.raises(CheckpointError) as info:
        match_arrays("f", arrays, expected, hints=True)
    assert info.value.problems == [
        "array 'a': missing",
        "array 'b': expected shape (2, 3), the file has (3, 2)",
        "array 'c': expected dtype float32, the file has float64; pass cast=True to convert",
        "array 'd': 1 of 1 values are NaN or infinite; pass finite=False to load them",
        "array 'e': nothing to load it into",
    ]


def test_match_arrays_casts_floats_only() -> None:
    expected = {"c": np.zeros(2, np.float32), "i": np.zeros(1, np.int64)}
    arrays = {"i": np.array([3]), "c": np.array([1.5, np.inf])}
    found = match_arrays("f", arrays, expected, cast=True, finite=False)
    assert list(found) == ["c", "i"] and found["c"].dtype == np.float32 and found["c"][0] == 1.5
    with pytest.raises(CheckpointError, match="expected dtype int64, the file has float64"):
        match_arrays("f", {**arrays, "i": np.array([3.0])}, expected, cast=True, finite=False)
