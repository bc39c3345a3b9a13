"""For all tests of derived mode: a step that runs unrolled says so in every test, and no plan is made twice."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.native import binding, loops, sharing
from tinygrad_rnn.bptt.plan import Plan
from tinygrad_rnn.native import lanes

SCAN = importlib.import_module("tinygrad_rnn.bptt.scan")


@pytest.fixture(autouse=True)
def every_warning_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that silently runs unrolled is no test of derived mode: warnings are errors, each time."""
    monkeypatch.setattr(SCAN, "_said", set())


@pytest.fixture(autouse=True)
def new_memory_is_full_of_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read before it was written must not be right by luck."""
    empty = np.empty

    def spoilt(*args: Any, **options: Any) -> Any:
        array = empty(*args, **options)
        if array.dtype in ("f", "d", "u1") and array.size < 1e6:
            array.fill(
                255 if array.dtype == np.uint8 else np.nan
            )  # of bytes that are numbers later it is NaN
        return array

    monkeypatch.setattr(np, "empty", spoilt)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for every time that a step was traced."""
    found: list[Any] = []
    real = derived.examine
    monkeypatch.setattr(derived, "examine", lambda step, *rest: (found.append(None), real(step, *rest))[1])
    return found


@pytest.fixture(autouse=True)
def plans_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a plan takes longer than everything that is done with it here."""
    monkeypatch.setattr(derived, "PLANS_KEPT", 5000)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> OrderedDict[Any, Plan]:
    """The plans that are made inside the test."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    return derived._plans


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch, plans: Any) -> None:
    """Everything is shared by two threads, however small, and however many BLAS may have."""
    for module in (binding, loops, lanes):
        monkeypatch.setattr(module, "lanes", lambda: 2)
    monkeypatch.setattr(sharing, "WORTH_A_STEP", 0)
    monkeypatch.setattr(sharing, "WORTH_A_LOOP", 0)
    monkeypatch.setattr(lanes, "WORTH_SHARING", 0)
