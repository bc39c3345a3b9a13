"""Every public class has a docstring with an example, and pytest's doctests run it."""

from __future__ import annotations

import inspect

import pytest

import tinygrad_rnn as tg

MODULES = (
    "layers losses metrics optimizers callbacks initializers regularizers constraints models preprocessing utils"
).split()
CLASSES = sorted(
    {
        f"{module}.{name}"
        for module in MODULES
        for name, member in inspect.getmembers(getattr(tg, module), inspect.isclass)
        if not name.startswith("_") and member.__module__.startswith("tinygrad_rnn.")
    }
    - {"optimizers.Registry", "metrics.Registry", "layers.Operation", "regularizers.Registry"}
)


@pytest.mark.parametrize("path", CLASSES)
def test_a_docstring_with_an_example(path):
    module, name = path.split(".")
    text = getattr(getattr(tg, module), name).__dict__.get("__doc__") or ""
    assert text.strip().split("\n")[0].endswith((".", ":", "?", "`")), text
    assert ">>> " in text
