"""Wrong arguments are explained: what was expected, what was received, where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops

X23 = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ops.one_hot([[0, 1], [1, 3]], 3),
            r"value 3 at position \(1, 1\) is out of range; valid are 0\.\.2",
        ),
        (lambda: ops.one_hot([-1], 3), r"value -1 at position \(0,\)"),
        (lambda: ops.one_hot([2**40], 3), r"value 1099511627776 at position"),
        (lambda: ops.one_hot([0.5], 3), r"expected integers, received 0\.5 at position \(0,\)"),
        (lambda: ops.one_hot([np.nan], 3), r"expected integers, received nan at position \(0,\)"),
        (
            lambda: ops.take(X23, [0, 2], axis=0),
            r"take: value 2 at position \(1,\) is out of range; valid are -2\.\.1",
        ),
        (
            lambda: ops.take(X23, np.array([1, 2**64 - 1], np.uint64), axis=0),
            r"take: value 18446744073709551615 at position \(1,\)",
        ),
        (lambda: ops.take(X23, np.array([-(2**63)]), axis=0), r"take: value -9223372036854775808 at"),
        (lambda: ops.take_along_axis(X23, np.array([[5]]), -1), r"take_along_axis: value 5"),
        (
            lambda: ops.take_along_axis(X23, np.array([0]), -1),
            r"indices of shape \(1,\) for x of shape \(2, 3\)",
        ),
        (lambda: ops.segment_sum(X23, [0, 3], 3), r"segment_sum: value 3 at position \(1,\)"),
        (lambda: ops.segment_sum(X23, [0]), r"\(1,\) ids for data of shape \(2, 3\)"),
        (lambda: ops.scatter([[3]], np.ones(1), (3,)), r"scatter: value 3"),
        (
            lambda: ops.sparse_categorical_crossentropy([0, 3], X23),
            r"label: value 3 at position \(1,\).*0\.\.2",
        ),
        (
            lambda: ops.sparse_categorical_crossentropy([0, -1], X23, True),
            r"label: value -1 at position \(1,\)",
        ),
        (
            lambda: ops.sparse_categorical_crossentropy([0], X23),
            r"labels of shape \(1,\) .*\(2, 3\); expected \(2,\)",
        ),
        (
            lambda: ops.categorical_crossentropy(X23[0], X23),
            r"targets of shape \(3,\) for predictions of shape \(2, 3\)",
        ),
        (
            lambda: ops.binary_crossentropy(np.ones(2), np.ones((2, 1))),
            r"targets of shape \(2,\) .* \(2, 1\)",
        ),
        (lambda: ops.softmax(X23, axis=2), r"softmax: axis 2 is out of range for 2 axes \(valid: -2\.\.1\)"),
        (lambda: ops.sum(X23, axis=-3), r"axis -3 is out of range for 2 axes"),
        (lambda: ops.squeeze(X23, 0), r"squeeze: axis 0 of shape \(2, 3\) is not of length 1"),
        (
            lambda: ops.split(X23, 2, axis=1),
            r"split: axis 1 of length 3 does not divide into 2 equal sections",
        ),
        (lambda: ops.split(X23, 0), r"does not divide into 0"),
        (lambda: ops.unstack(X23, 3), r"num is 3, but axis 0 of shape \(2, 3\) has 2"),
        (lambda: ops.stack([]), "stack: expected at least one array"),
        (lambda: ops.concatenate([]), "concatenate: expected at least one array"),
        (lambda: ops.pad(X23, -1), "pad: widths must not be negative, received -1"),
        (lambda: ops.clip(X23, 2.0, 1.0), "x_min must not exceed x_max, received 2.0 and 1.0"),
        (
            lambda: ops.max(np.ones((0, 3)), axis=0),
            r"max: no elements to choose from along axis 0 of shape \(0, 3\)",
        ),
        (lambda: ops.min(np.ones(0)), "min: no elements"),
        (lambda: ops.norm(X23, 3), "norm: expected ord None, 1, 2, 'fro' or inf, got 3"),
        (lambda: ops.tensordot(X23, X23, 1), r"tensordot: axes \[1\] of shape \(2, 3\) do not fit"),
        (lambda: ops.einsum("ij,jk->ik", X23), "has 2 terms for 1 operands"),
        (lambda: ops.einsum("ijk->i", X23), "'ijk' of 'ijk->i' does not fit an operand with 2 axes"),
        (lambda: ops.dropout(X23, 1.5), r"dropout: rate must be in \[0, 1\], got 1\.5"),
        (
            lambda: ops.categorical(np.ones(3), 2),
            r"expected logits \(batch, classes\), received shape \(3,\)",
        ),
        (lambda: tg.tensor([1.0]).mT, r"mT: expected at least 2 axes, received shape \(1,\)"),
    ],
)
def test_wrong_arguments_are_explained(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_types_are_explained() -> None:
    with pytest.raises(TypeError, match="one_hot: expected integers, received"):
        ops.one_hot(["a"], 3)
    with pytest.raises(IndexError, match="must be an integer or boolean tensor, received float32"):
        tg.tensor([1.0])[tg.tensor([0.0])]


def test_functions_of_real_numbers_take_integers() -> None:
    i = tg.tensor([1, 2, 3])
    for f in (ops.softmax, ops.log_softmax, ops.logsumexp, ops.sigmoid, ops.silu, ops.tanh, ops.erf):
        assert f(i).dtype == np.float32, f
        np.testing.assert_allclose(f(i), f(i.astype("float32")), rtol=1e-6)


BINARY = [
    name for name in ops.__all__ if (op := getattr(getattr(ops, name), "op", None)) and len(op.vjps) == 2
]


class Foreign:
    """An array of another library."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.values, dtype)


@pytest.mark.parametrize("name", BINARY)
def test_what_is_no_array_is_refused_by_functions_of_two_arguments(name: str) -> None:
    """An operator returns NotImplemented, so that the other side may know; a function has nobody to ask."""
    function, t = getattr(ops, name), tg.tensor(np.eye(2))
    for other in (None, "a", object()):
        for pair in ((t, other), (other, t)):
            with pytest.raises(TypeError, match="expected tensors, arrays or numbers, received "):
                function(*pair)


@pytest.mark.parametrize("name", BINARY)
def test_arrays_of_other_libraries_are_taken_on_either_side(name: str) -> None:
    function, t, a = getattr(ops, name), tg.tensor(np.eye(2) + 1), np.full((2, 2), 2.0)
    np.testing.assert_array_equal(function(t, Foreign(a)), function(t, a))
    np.testing.assert_array_equal(function(Foreign(a), t), function(a, t))


def test_a_symbol_beside_a_tensor_makes_a_layer() -> None:
    x = tg.Input((2,))
    model = tg.Model(x, ops.add(tg.tensor([1.0, 2.0]), x))
    assert model(np.ones((1, 2), "float32")).tolist() == [[2.0, 3.0]]
