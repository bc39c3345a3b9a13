"""Losses: shapes, labels and targets that do not fit, the warning about logits, names and objects."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from loss_cases import CASES, OBJECTS, sample
from numpy.testing import assert_allclose

from tinygrad_rnn import Tensor, grad, losses, tensor
from tinygrad_rnn.ops import log

# --- shapes, labels, NaN --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("s", "t", "result"),
    [
        ((4,), (4, 1), (4,)),
        ((4, 1), (4,), (4,)),
        ((4, 3), (4, 3, 1), (4, 3)),
        ((4, 3, 1), (4, 3), (4,)),
        ((4,), (4,), ()),
    ],
)
def test_a_last_axis_of_one_is_aligned(
    s: tuple[int, ...], t: tuple[int, ...], result: tuple[int, ...]
) -> None:
    y, p = np.arange(np.prod(s), dtype=float), np.ones(np.prod(t))
    values = losses.mean_squared_error(y.reshape(s), p.reshape(t))
    assert values.shape == result
    assert_allclose(values.numpy().mean(), ((y - p) ** 2).mean())


@pytest.mark.parametrize(
    ("s", "t"), [((6, 4), (6, 1)), ((3,), (3, 2)), ((1, 3), (4, 3)), ((4,), (1,)), ((), (3,))]
)
def test_shapes_that_would_broadcast_raise(s: tuple[int, ...], t: tuple[int, ...]) -> None:
    for name in sorted(set(CASES) - {"sparse_categorical_crossentropy"}):
        with pytest.raises(
            ValueError, match=rf"{name}: y_true of shape \({str(s)[1:-1]}\) does not fit .*\({t[0]}"
        ):
            getattr(losses, name)(np.ones(s), np.ones(t))


def test_hints_for_the_other_form_of_labels() -> None:
    p = np.full((2, 3), 1 / 3)
    with pytest.raises(ValueError, match="integer labels go with the sparse form"):
        losses.CategoricalCrossentropy()(np.array([1, 2]), p)
    with pytest.raises(ValueError, match="one-hot targets go with the categorical form"):
        losses.SparseCategoricalCrossentropy()(np.eye(3)[:2], p)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([[0, 1], [5, 2]], r"value 5 at position \(1, 0\).*0\.\.4"),
        ([[0, -1], [1, 2]], r"value -1 at position \(0, 1\)"),
        ([[0, 2**40], [1, 2]], r"value 1099511627776 at position \(0, 1\)"),
        ([[0.0, 1.5], [1, 2]], r"received 1.5 at position \(0, 1\)"),
        ([[0.0, np.nan], [1, 2]], r"nan at position \(0, 1\)"),
        ([[[0], [1]], [[5], [2]]], r"value 5 at position \(1, 0, 0\)"),
    ],
)
def test_labels_out_of_range_name_value_and_position(labels: Any, said: str) -> None:
    for from_logits in (False, True):
        with pytest.raises(ValueError, match=said):
            losses.SparseCategoricalCrossentropy(from_logits)(np.array(labels), np.full((2, 2, 5), 0.2))


@pytest.mark.parametrize("name", ["BinaryCrossentropy", "BinaryFocalCrossentropy"])
@pytest.mark.parametrize("wrong", [-1.0, 2, 1.1])
def test_binary_labels_out_of_range_name_value_and_position(name: str, wrong: float) -> None:
    p = np.full((2, 3), 0.2)
    for options in ({}, {"from_logits": True}, {"label_smoothing": 0.2}):
        loss = getattr(losses, name)(**options)
        labels = np.zeros((2, 3), type(wrong))
        labels[1, 2] = wrong
        with pytest.raises(
            ValueError, match=rf"label: value {wrong}.* at position \(1, 2\).*valid are 0 to 1"
        ):
            loss(labels, p)
        assert np.isfinite(loss(labels, p, mask=np.array([True, False])).item())
        for soft in (
            np.full((2, 3), 0.3),
            np.full((2, 3), 1 + 1e-6),
            np.ones((2, 3), bool),
            np.zeros((2, 3), int),
        ):
            assert np.isfinite(loss(soft, p).item())
        assert loss(np.zeros((0, 3)), p[:0]).item() == 0


def test_many_classes_with_small_label_types() -> None:
    p = np.zeros((1, 300))
    p[0, 44] = 1.0
    with pytest.raises(ValueError, match="value 300"):
        losses.SparseCategoricalCrossentropy()(np.array([300]), p)
    value = losses.SparseCategoricalCrossentropy()(np.array([44], np.uint8), p)
    assert value.item() < 1e-6


@pytest.mark.parametrize("name", sorted(set(CASES) - {"sparse_categorical_crossentropy"}))
def test_targets_that_are_not_finite_raise_with_position(name: str) -> None:
    y, p = sample(CASES[name][0])
    for value, what in ((np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")):
        y[2, 1, 4] = value
        with pytest.raises(ValueError, match=rf"{name}: y_true is {what}.* at position \(2, 1, 4\)"):
            OBJECTS[name]()(y, p)
        weights = np.ones((4, 3))
        weights[2, 1] = 0
        assert np.isfinite(OBJECTS[name]()(y, p, sample_weight=weights).item())


def test_extreme_predictions_stay_finite() -> None:
    for x in (np.array([[1e4, -1e4]]), np.array([[-1e4, 1e4]])):
        for cls, y in (("BinaryCrossentropy", [[1.0, 0.0]]), ("CategoricalCrossentropy", [[1.0, 0.0]])):
            t = tensor(x, requires_grad=True)
            loss = getattr(losses, cls)(from_logits=True)(y, t)
            assert np.isfinite(loss.item()) and np.isfinite(grad(loss, t).numpy()).all()
    t = tensor(np.array([[0.0, 1.0]]), requires_grad=True)
    loss = losses.BinaryCrossentropy()([[1.0, 0.0]], t)
    assert_allclose(loss.item(), -np.log(1e-7), rtol=1e-6)
    assert np.isfinite(grad(loss, t).numpy()).all()


# --- the warning about logits ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "y"),
    [
        (losses.CategoricalCrossentropy, np.eye(3)[:2]),
        (losses.SparseCategoricalCrossentropy, np.array([0, 1])),
        (losses.BinaryCrossentropy, np.eye(3)[:2]),
        (losses.CategoricalFocalCrossentropy, np.eye(3)[:2]),
        (losses.BinaryFocalCrossentropy, np.eye(3)[:2]),
    ],
)
def test_forgotten_from_logits_warns_once(cls: Any, y: np.ndarray) -> None:
    logits = np.array([[0.2, 0.3, 0.5], [2.0, -1.0, 3.0]])
    loss = cls()
    with pytest.warns(UserWarning, match=r"position \(1,\).*from_logits=True or a (softmax|sigmoid)"):
        loss(y, logits)
    loss(y, logits)  # warnings are errors here: the second call is silent
    cls(from_logits=True)(y, logits)
    good = cls()
    good(y, np.full((2, 3), 1 / 3 + 1e-5))
    cls()(y, logits, mask=np.array([True, False]))


# --- objects --------------------------------------------------------------------------------------


def test_names_and_wrapping() -> None:
    assert losses.get("mse") is losses.mean_squared_error is losses.get("mean_squared_error")
    assert isinstance(losses.get("MeanSquaredError"), losses.MeanSquaredError)
    for short, name in {
        "mae": "MeanAbsoluteError",
        "mape": "MeanAbsolutePercentageError",
        "kld": "KLDivergence",
        "msle": "MeanSquaredLogarithmicError",
        "bce": "BinaryCrossentropy",
    }.items():
        assert type(losses.as_loss(short)).__name__ == name
    mine = losses.as_loss(lambda y, p: abs(y - p))
    assert mine([1.0, 3.0], [2.0, 1.0]).item() == 1.5 and isinstance(mine, losses.Loss)
    assert losses.as_loss(mine) is mine
    wrapped = losses.LossFunctionWrapper(losses.huber, "sum", delta=2.0)
    again = losses.get(losses.serialize(wrapped))
    assert again.get_config() == {
        "fn": "huber",
        "reduction": "sum",
        "name": "huber",
        "dtype": None,
        "delta": 2.0,
    }
    assert again([[0.0]], [[3.0]]).item() == wrapped([[0.0]], [[3.0]]).item() == 4.0


@pytest.mark.parametrize(
    ("s", "t", "result"),
    [
        ((4,), (4, 1), (4, 1)),
        ((4, 1), (4,), (4, 1)),
        ((4, 3), (4, 3, 1), (4, 3)),
        ((4, 3, 1), (4, 3), (4, 3)),
        ((4,), (4, 3), None),
        ((4, 1), (4, 3), None),
    ],
)
def test_a_function_gets_equal_ranks(s: tuple[int, ...], t: tuple[int, ...], result: Any) -> None:
    got = []

    def function(y_true: Tensor, y_pred: Tensor) -> Tensor:
        got.append((y_true.shape, y_pred.shape))
        return (y_pred * y_pred).mean(-1)

    losses.as_loss(function)(np.zeros(s), np.zeros(t))
    assert got == [(s, t) if result is None else (result, result)]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint64", "int8", "int64", "float16", "float64"])
def test_small_numbers_do_not_wrap_round_in_losses_of_users(dtype: str) -> None:
    def likelihood(y: Tensor, p: Tensor) -> Tensor:
        return -y * log(p) - (1 - y) * log(1 - p) + 100 * y

    class Likelihood(losses.Loss):
        def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
            return likelihood(y_true, y_pred)

    y, p = np.array([[0, 2], [1, 1]][dtype == "bool"], dtype), np.array([0.2, 0.6], "float32")
    want = np.mean(likelihood(tensor(y.astype("float64")), tensor(p)).numpy())
    for loss in (losses.as_loss(likelihood), Likelihood()):
        assert_allclose(loss(y, p).item(), want, rtol=1e-6)


def test_subclass_wrong_reduction_and_dtype() -> None:
    class Cubic(losses.Loss):
        def call(self, y_true: Tensor, y_pred: Tensor) -> Any:
            return abs(y_true - y_pred) ** 3

    assert Cubic().name == "cubic" and Cubic(reduction="sum")([1, 2], [3.0, 2.0]).item() == 8.0
    with pytest.raises(NotImplementedError, match="must define call"):
        losses.Loss()([1.0], [1.0])
    with pytest.raises(ValueError, match="reduction: expected one of"):
        losses.Hinge("average")
    assert losses.MeanSquaredError(dtype="float64")([[1.0]], np.ones((1, 1), "float32")).dtype == np.float64
    assert losses.MeanSquaredError()([[1]], [[2]]).dtype == np.float32


def test_no_warning_leaks_from_the_formulas() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, (kind, _) in CASES.items():
            y, p = sample(kind)
            p = np.clip(np.round(p), 0, 1) if kind in ("onehot", "binary") else p
            getattr(losses, name)(y, np.maximum(p, 1e-30) if kind == "labels" else p + 0.0)


def test_targets_may_be_tensors_with_gradients() -> None:
    y, p = tensor([[1.0, 2.0]], requires_grad=True), tensor([[3.0, 2.5]])
    assert grad(losses.MeanSquaredError()(y, p), y).tolist() == [[-2.0, -0.5]]
