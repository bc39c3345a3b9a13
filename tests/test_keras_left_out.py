"""What is left out of Keras's names and arguments is refused by name, with what takes its place."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.absent import LEFT_OUT

NAMES = [(module, name) for module, names in LEFT_OUT.items() if module != "Model" for name in names]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_names_of_modules(module: str, name: str) -> None:
    found = reduce(getattr, module.split(".")[1:], tg)
    assert not hasattr(found, name) and name not in getattr(found, "__all__", ())
    with pytest.raises(AttributeError, match=f"{name} is left out; instead: "):
        getattr(found, name)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = found.nonsense


@pytest.mark.parametrize("name", LEFT_OUT["Model"])
def test_names_of_models(name: str) -> None:
    model = tg.Sequential([tg.Input((3,)), tg.layers.Dense(1)])
    with pytest.raises(AttributeError, match=f"Sequential.{name} is left out; instead: "):
        getattr(model, name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tg.layers.Dense(3, dtype="mixed_float16"), "Dense: dtype 'mixed_float16' is not offered"),
        (lambda: tg.layers.LSTM(3, dtype="mixed_bfloat16"), "dtype 'mixed_bfloat16' is not offered"),
        (lambda: tg.layers.Dense(3, dtype="bfloat16"), "Dense: dtype 'bfloat16' is not offered"),
        (lambda: tg.Input((3,), sparse=True), "Input: sparse and ragged inputs are not offered"),
        (lambda: tg.Input((3,), ragged=True), "Input: sparse and ragged inputs are not offered"),
    ],
)
def test_arguments(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
    assert tg.Input((3,), sparse=False).shape == (None, 3)
