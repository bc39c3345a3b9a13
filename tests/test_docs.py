"""The Python blocks of README and docs run, each file from top to bottom in one namespace."""

from __future__ import annotations

import importlib.util
import linecache
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from keras_names import names

import tinygrad_rnn as tg
from tinygrad_rnn.core.op import OPS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def run(page, text):
    """Run the Python blocks in the text of a page; how many there are."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    namespace: dict = {}
    for i, block in enumerate(blocks):
        name = f"{page}, block {i}"  # its lines can be looked up, as those of a notebook's cells
        linecache.cache[name] = (len(block), None, block.splitlines(keepends=True), name)
        exec(compile(block, name, "exec"), namespace)
    return len(blocks)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(page.name, page.read_text(encoding="utf-8")), f"{page.name} has no Python block"


def test_the_equations_of_the_backward_pass_are_those_of_the_source():
    layer = tg.layers.LSTM(4)
    layer(np.zeros((2, 3, 5)))
    shown = re.search(
        r"^```text\n(One step back:\n.*?)```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S
    )
    assert shown is not None and f"\n{shown[1]}\n" in layer.bptt_source()


def test_comparing_prints_what_it_says(capsys):
    before, after = (ROOT / "docs" / "comparing.md").read_text("utf-8").split("\nIt prints\n")
    run("comparing.md", before)
    printed = capsys.readouterr().out.splitlines()[-1]
    said = " ".join(line.strip() for line in re.match(r"\n((?:    .*\n)+)", after)[1].splitlines())
    rounding = r"\(\S+ ulp\)"  # differs from processor to processor
    assert re.sub(rounding, "()", said.replace("…:", "comparing.md, block 2:")) == re.sub(
        rounding, "()", printed
    )


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


def test_the_equation_that_comparing_cites_is_the_one_with_the_state_before():
    page, derivation = (
        (ROOT / "docs" / name).read_text("utf-8") for name in ("comparing.md", "derivations_rnn.md")
    )
    (number,) = re.findall(r"equation \((\d+)\) of \[the derivation\]", page)
    assert f"({number}) dWaa = Σ_t dz_t a_{{t−1}}ᵀ" in derivation


def script(name):
    """A script of docs as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_op_reference_is_the_table():
    module = script("make_ops")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run `python docs/make_ops.py`"
    listed = re.findall(r"^\| `(\w+)` \|", module.page(), re.M)
    assert sorted(listed) == sorted(OPS)


def test_the_comparison_with_keras_is_current():
    module = script("make_keras")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run `python docs/make_keras.py`"


def test_the_list_of_keras_names_is_that_of_the_installed_keras(keras):
    if keras.__version__ != "3.15.1":
        pytest.skip("the list is of 3.15.1")
    assert script("make_keras").NAMES == names(keras), "run `python tests/keras_names.py`"


@pytest.mark.parametrize(
    ("what", "stays"), [("goes on", True), ("ends, with a warning", False), ("is used and ends", False)]
)
def test_the_mask_table(what, stays):
    x = tg.tensor(np.ones((2, 4, 3), np.float32))
    x._mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool)
    arguments = {"Dense": [2], "Activation": ["tanh"], "Dropout": [0.5],
                 "SpatialDropout1D": [0.5], "Conv1D": [2, 2], "MaxPooling1D": [2], "AveragePooling1D": [2],
                 "TimeDistributed": [tg.layers.Dense(2)], "Reshape": [(2, 6)], "GaussianNoise": [0.1],
                 "GaussianDropout": [0.5], "GroupNormalization": [3], "Rescaling": [2.0], "Permute": [(2, 1)],
                 "Lambda": [lambda x: 2.0 * x]}  # fmt: skip
    for name in script("make_keras").MASKS[what].split():
        layer = getattr(tg.layers, name)(*arguments.get(name, []))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where a mask ends, the layer says so
            mask = getattr(layer(x), "_mask", None)
        assert (mask is not None) == stays, name
