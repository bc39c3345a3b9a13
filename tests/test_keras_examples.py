"""Keras's published kinds of sequence example: one file each, run under `import keras` and under this package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FILES = sorted((Path(__file__).parent / "keras_examples").glob("*.py"))
# After 6 to 60 float32 steps from the same weights. Measured: at most 1.4e-5 (a trained weight), 1e-5 in logs and
# predictions; ten times that is left for other versions of torch.
RTOL = 2e-4


def load(path: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file as a module, with its `keras` taken from `library`."""
    monkeypatch.setenv("KERAS_LIKE", library)
    spec = importlib.util.spec_from_file_location(f"{path.stem}_{library}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.keras.__name__ == library
    return module


def worst(got: Any, want: Any) -> float:
    """The largest difference, relative to the largest number."""
    got, want = np.asarray(got, "float64"), np.asarray(want, "float64")
    assert got.shape == want.shape
    return float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-3))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_the_same_file_gives_the_same_numbers(path, keras, monkeypatch):
    results = {}
    weights = None
    for library in ("keras", "tinygrad_rnn"):
        example = load(path, library, monkeypatch)
        example.keras.backend.clear_session()
        model = example.build()
        if weights is None:
            weights = model.get_weights()
        model.set_weights(weights)
        results[library] = example.train(model), model.get_weights()
    (want, theirs), (got, ours) = results["keras"], results["tinygrad_rnn"]
    assert list(got) == list(want)
    assert set(got["logs"]) == set(want["logs"])
    errors = {"weights": max(worst(a, b) for a, b in zip(ours, theirs, strict=True))}
    for name, values in want["logs"].items():
        errors[name] = worst(got["logs"][name], values)
    for i, values in enumerate(want["predictions"]):
        assert isinstance(got["predictions"][i], np.ndarray) and got["predictions"][i].dtype == np.float32
        errors[f"prediction {i}"] = worst(got["predictions"][i], values)
    if "numbers" in want:
        errors["numbers"] = worst(got["numbers"], want["numbers"])
    assert max(errors.values()) < RTOL, errors
    for exact in ("texts", "shapes"):
        assert got.get(exact) == want.get(exact)
