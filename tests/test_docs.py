"""The Python blocks of README and docs run, each file from top to bottom in one namespace."""

from __future__ import annotations

import importlib.util
import linecache
import re
from pathlib import Path

import pytest

from tinygrad_rnn.core.op import OPS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    namespace: dict = {}
    for i, block in enumerate(blocks):
        name = f"{page.name}, block {i}"  # its lines can be looked up, as those of a notebook's cells
        linecache.cache[name] = (len(block), None, block.splitlines(keepends=True), name)
        exec(compile(block, name, "exec"), namespace)
    assert blocks, f"{page.name} has no Python block"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name)
def test_files_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(
        r"`((?:tinygrad_rnn|tests|docs|benchmarks|examples|core|ops|layers|manual|bptt)/[\w/]+\.(?:py|md|svg))`",
        text,
    ):
        assert (ROOT / name).exists() or (ROOT / "tinygrad_rnn" / name).exists(), name
    for link in re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", text):
        assert (page.parent / link).exists(), link


def test_the_op_reference_is_the_table():
    spec = importlib.util.spec_from_file_location("make_ops", ROOT / "docs" / "make_ops.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run `python docs/make_ops.py`"
    listed = re.findall(r"^\| `(\w+)` \|", module.page(), re.M)
    assert sorted(listed) == sorted(OPS)
