"""Functions of `tg.ops` and `tg.activations` take the arguments of Keras's, in its order and with its defaults."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from keras_twins import keras

import tinygrad_rnn as tg
from tinygrad_rnn import ops

OURS = {
    ("arange", "step"): "1, where Keras has None for it",
    ("clip", "x_min"): "may be left out",
    ("clip", "x_max"): "may be left out",
    ("ctc_decode", "merge_repeated"): "no beam search, whose arguments stand before it in Keras",
    ("ctc_decode", "mask_index"): "the same",
}
SHARED = [
    (space, name)
    for space in ("ops", "activations")
    for name in sorted(dir(getattr(tg, space)))
    if inspect.isfunction(getattr(getattr(tg, space), name)) and hasattr(getattr(keras, space), name)
]


def arguments(function: Any) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    return [p for p in inspect.signature(function).parameters.values() if p.kind in kinds]


@pytest.mark.parametrize(("space", "name"), SHARED)
def test_names_order_and_defaults(space: str, name: str) -> None:
    ours, theirs = (arguments(getattr(getattr(library, space), name)) for library in (tg, keras))
    for mine, other in zip(ours, theirs, strict=False):
        if (name, mine.name) not in OURS:
            assert (mine.name, mine.default) == (other.name, other.default)
    assert len(ours) <= len(theirs)


def test_the_table_has_what_is_compared() -> None:
    assert len(SHARED) > 100
    assert all(any(name == n for _, n in SHARED) for name, _ in OURS)


@pytest.mark.parametrize("x", [np.array([0, 2]), np.array([True, False])], ids=str)
def test_integers_and_flags_are_activated_as_floats(x: Any) -> None:
    known = {n: f for n, f in tg.activations.FUNCTIONS.items() if n != "glu"}
    for name, function in {**known, "logsumexp": ops.logsumexp}.items():
        if (
            name in ("soft_shrink", "hard_shrink", "squareplus", "log_sigmoid", "sparse_sigmoid")
            and x.dtype == bool
        ):
            continue  # NumPy has no negative of flags
        found, want = function(x), function(x.astype("float32"))
        np.testing.assert_allclose(found, want, rtol=1e-6, err_msg=name)
        if name in "tanh sigmoid softplus softsign silu softmax log_softmax".split():
            assert found.dtype == "float32", name


@pytest.mark.parametrize("x", [[1, 3], [0.5, -2.0]], ids=str)
def test_lists_are_arrays(x: Any) -> None:
    names = (
        "elu gelu hard_sigmoid leaky_relu log_softmax relu selu sigmoid silu softmax softplus softsign tanh celu "
        "glu hard_shrink hard_silu hard_tanh log_sigmoid relu6 soft_shrink sparse_plus sparse_sigmoid squareplus "
        "tanh_shrink"
    )
    for name in [*names.split(), "logsumexp"]:
        found, want = getattr(ops, name)(x), getattr(ops, name)(np.asarray(x, "float32"))
        np.testing.assert_allclose(found, want, rtol=1e-6, err_msg=name)


def test_softmax_over_several_axes() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    for ours, theirs in ((ops.softmax, keras.ops.softmax), (ops.log_softmax, keras.ops.log_softmax)):
        want = np.asarray(theirs(keras.ops.convert_to_tensor(x), axis=(0, 2)))
        np.testing.assert_allclose(ours(x, axis=(0, 2)), want, rtol=1e-12)
    t = tg.tensor(x, requires_grad=True)
    assert tg.check_gradients(lambda: (ops.softmax(t, axis=(0, 2)) ** 2).sum(), [t])


def test_where_of_a_condition_alone_gives_places() -> None:
    rows, columns = ops.where(np.array([[True, False], [False, True]]))
    assert rows.tolist() == columns.tolist() == [0, 1]
    with pytest.raises(ValueError, match="where: expected x1 and x2, or neither"):
        ops.where(np.array([True]), 1.0)
    assert ops.where(np.array([True]), 1.0, 0.0).dtype == np.float32


def test_places_of_wrong_ids_are_those_of_the_users_array() -> None:
    with pytest.raises(ValueError, match=r"scatter: value 9 at position \(1, 1\) is out of range"):
        ops.scatter(np.array([[0, 1], [1, 9]]), [1.0, 2.0], (3, 4))


def test_infinities_are_no_warnings() -> None:
    """In a process of its own, as pytest sets the filters of warnings anew."""
    program = """
import numpy as np, tinygrad_rnn as tg
x = tg.tensor(np.full((1, 1), 3e38, "float32"))
assert not np.isfinite((x @ x).numpy()).any() and (x * 10).item() == np.inf
tg.ops.sum(tg.ops.concatenate([x, x])), tg.ops.einsum("ij,jk->ik", x, x), tg.ops.tensordot(x, x, 1)
"""
    command = [sys.executable, "-W", "default", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
