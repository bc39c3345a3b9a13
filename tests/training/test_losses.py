"""Losses: values against formulas in float64, Keras in float32; weights, masks, reductions; wrong inputs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tinygrad_rnn import Tensor, grad, losses, tensor

EPS = 1e-7
CASES = {  # name -> (kind of targets and predictions, formula for the values)
    "mean_squared_error": ("real", lambda y, p: ((y - p) ** 2).mean(-1)),
    "mean_absolute_error": ("real", lambda y, p: np.abs(y - p).mean(-1)),
    "mean_absolute_percentage_error": (
        "real",
        lambda y, p: 100 * np.abs((y - p) / np.maximum(np.abs(y), EPS)).mean(-1),
    ),
    "mean_squared_logarithmic_error": (
        "real",
        lambda y, p: ((np.log(np.maximum(p, EPS) + 1) - np.log(np.maximum(y, EPS) + 1)) ** 2).mean(-1),
    ),
    "huber": ("real", lambda y, p: np.where(abs(p - y) <= 1, (p - y) ** 2 / 2, abs(p - y) - 0.5).mean(-1)),
    "log_cosh": ("real", lambda y, p: np.log(np.cosh(p - y)).mean(-1)),
    "cosine_similarity": (
        "real",
        lambda y, p: -(y * p).sum(-1) / np.linalg.norm(y, axis=-1) / np.linalg.norm(p, axis=-1),
    ),
    "poisson": ("positive", lambda y, p: (p - y * np.log(p + EPS)).mean(-1)),
    "kl_divergence": ("onehot", lambda y, p: (np.clip(y, EPS, 1) * np.log(np.clip(y, EPS, 1) / p)).sum(-1)),
    "hinge": ("signs", lambda y, p: np.maximum(1 - y * p, 0).mean(-1)),
    "squared_hinge": ("signs", lambda y, p: (np.maximum(1 - y * p, 0) ** 2).mean(-1)),
    "categorical_hinge": ("onehot", lambda y, p: np.maximum(((1 - y) * p).max(-1) - (y * p).sum(-1) + 1, 0)),
    "binary_crossentropy": ("binary", lambda y, p: -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(-1)),
    "categorical_crossentropy": ("onehot", lambda y, p: -(y * np.log(p)).sum(-1)),
    "sparse_categorical_crossentropy": (
        "labels",
        lambda y, p: -np.log(np.take_along_axis(p, y[..., None], -1)[..., 0]),
    ),
}
OBJECTS = {cls.fn.__name__: cls for cls in losses.objects.CLASSES}


def sample(kind: str, shape: tuple[int, ...] = (4, 3, 5), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    real, other = rng.standard_normal(shape), 2 * rng.standard_normal(shape)
    labels = rng.integers(0, shape[-1], shape[:-1])
    positive = rng.random(shape) + 0.05
    p = positive / positive.sum(-1, keepdims=True)
    return {
        "real": (real, other),
        "positive": (np.abs(real), positive),
        "onehot": (np.eye(shape[-1])[labels], p),
        "signs": (np.sign(real), other),
        "binary": ((real > 0).astype(float), positive / 1.2),
        "labels": (labels, p),
    }[kind]


def test_every_loss_has_a_case() -> None:
    assert set(CASES) == {f.__name__ for f in losses.formulas.FUNCTIONS} == set(OBJECTS)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_against_formula(name: str) -> None:
    kind, formula = CASES[name]
    y, p = sample(kind)
    for _ in range(2):
        x = tensor(p, requires_grad=True)
        values = getattr(losses, name)(y, x)
        assert values.dtype == np.float64
        assert_allclose(values.numpy(), formula(y, p), rtol=1e-10, atol=1e-13)
        g = grad(values.sum(), x).numpy()
        at = (1, 2, 3)
        h = np.zeros_like(p)
        h[at] = 1e-6
        ours = getattr(losses, name)
        slope = (ours(y, p + h).numpy().sum() - ours(y, p - h).numpy().sum()) / 2e-6
        assert_allclose(g[at], slope, rtol=1e-6, atol=1e-8)
        loss = OBJECTS[name]()(y, x)
        assert loss.shape == () and loss.requires_grad
        assert_allclose(loss.item(), formula(y, p).mean(), rtol=1e-10)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"]
)
def test_objects_against_keras(keras: Any, reduction: str) -> None:
    weights = np.random.default_rng(1).random((4, 3)).astype("float32")
    for name, (kind, _) in CASES.items():
        y, p = sample(kind)
        y = y.astype("int32" if kind == "labels" else "float32")
        p = p.astype("float32")
        theirs = getattr(keras.losses, OBJECTS[name].__name__)(reduction=reduction)
        ours = OBJECTS[name](reduction=reduction)
        for w in (None, weights):
            expected = np.asarray(theirs(y, p, sample_weight=w))
            result = ours(y, p, sample_weight=w)
            assert result.dtype == np.float32
            assert_allclose(result.numpy(), expected, rtol=2e-5, atol=1e-6, err_msg=name)


def test_options_against_keras(keras: Any) -> None:
    y, p = (a.astype("float32") for a in sample("onehot"))
    labels = y.argmax(-1)
    b, q = (a.astype("float32") for a in sample("binary"))
    logits = np.log(p) * 3
    for name, options, yy, pp in [
        ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, b, logits),
        ("BinaryCrossentropy", {"label_smoothing": 0.2}, b, q),
        ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, y, logits),
        ("CategoricalCrossentropy", {"label_smoothing": 0.2}, y, p),
        ("SparseCategoricalCrossentropy", {"from_logits": True}, labels, logits),
        ("SparseCategoricalCrossentropy", {"from_logits": True}, labels[..., None], logits),
        ("SparseCategoricalCrossentropy", {"ignore_class": 1}, labels, p),
        ("Huber", {"delta": 0.3}, y, p),
        ("CosineSimilarity", {"axis": 1}, y, p),
        ("Hinge", {}, b, q),
        ("SquaredHinge", {}, b, q),
    ]:
        expected = float(getattr(keras.losses, name)(**options)(yy, pp))
        assert_allclose(getattr(losses, name)(**options)(yy, pp).item(), expected, rtol=1e-5, err_msg=name)
    for name in ("CategoricalCrossentropy", "SparseCategoricalCrossentropy"):  # classes on axis 1
        yy, pp = (y.swapaxes(1, 2), p.swapaxes(1, 2)) if name[0] == "C" else (labels, p.swapaxes(1, 2))
        assert_allclose(
            getattr(losses, name)(axis=1)(yy, pp).item(),
            getattr(losses, name)()(y if name[0] == "C" else labels, p).item(),
            rtol=1e-6,
        )


def test_cross_entropies_of_logits_against_torch() -> None:
    torch = pytest.importorskip("torch")
    y, p = sample("labels", (6, 5))
    logits = torch.tensor(40 * (p - 0.2), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
    expected.backward()
    x = tensor(logits.detach().numpy(), requires_grad=True)
    for loss in (
        losses.SparseCategoricalCrossentropy(from_logits=True)(y, x),
        losses.CategoricalCrossentropy(from_logits=True)(np.eye(5)[y], x),
    ):
        assert_allclose(loss.item(), expected.item(), rtol=1e-12)
        assert_allclose(grad(loss, x).numpy(), logits.grad.numpy(), rtol=1e-10, atol=1e-15)


# --- masks and weights ----------------------------------------------------------------------------


def test_mask_scaling_against_keras(keras: Any, rng: np.random.Generator) -> None:
    y, p = (a.astype("float32") for a in sample("real"))
    mask, weights = rng.random((4, 3)) > 0.4, rng.random((4, 3)).astype("float32")
    for reduction in ("sum_over_batch_size", "sum", "none", "mean_with_sample_weight"):
        for w in (None, weights):
            x = keras.ops.convert_to_tensor(p)
            x._keras_mask = keras.ops.convert_to_tensor(mask)
            expected = np.asarray(keras.losses.MeanSquaredError(reduction=reduction)(y, x, sample_weight=w))
            result = losses.MeanSquaredError(reduction=reduction)(y, p, sample_weight=w, mask=mask)
            assert_allclose(result.numpy(), expected, rtol=1e-5)


@given(st.data())
def test_mask_equals_the_loss_of_what_is_left(data: st.DataObject) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=12, max_size=12))).reshape(4, 3)
    name = data.draw(st.sampled_from(sorted(CASES)))
    y, p = sample(CASES[name][0])
    y_bad = np.where(mask if y.ndim == 2 else mask[..., None], y, -7 if y.dtype.kind == "i" else np.nan)
    x = tensor(p, requires_grad=True)
    loss = OBJECTS[name]()(y_bad, x, mask=mask)
    g = grad(loss, x).numpy()
    assert np.isfinite(g).all() and (g[~mask] == 0).all()
    if mask.any() and not name.endswith("hinge"):  # hinge losses look at all labels at once
        assert_allclose(loss.item(), OBJECTS[name]()(y[mask], p[mask]).item(), rtol=1e-12)
    if not mask.any():
        assert loss.item() == 0 and (g == 0).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_nothing_to_average_is_zero(name: str, reduction: str) -> None:
    y, p = sample(CASES[name][0])
    for yy, pp, options in [
        (y[:0], p[:0], {}),
        (y, p, {"mask": np.zeros((4, 3), bool)}),
        (y, p, {"sample_weight": np.zeros(4)}),
    ]:
        x = tensor(pp, requires_grad=True)
        loss = OBJECTS[name](reduction=reduction)(yy, x, **options)
        assert loss.item() == 0.0 and (grad(loss, x).numpy() == 0).all()


def test_all_labels_ignored_is_zero() -> None:
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    x = tensor(np.full((2, 3), 1 / 3), requires_grad=True)
    y = loss([-1, -1], x)
    assert y.item() == 0 and (grad(y, x).numpy() == 0).all()
    some = loss(np.array([[-1], [2]]), x)
    assert_allclose(some.item(), np.log(3), rtol=1e-12)
    both = loss(np.array([0, 2]), x, mask=np.array([False, True]))
    assert_allclose(both.item(), np.log(3), rtol=1e-12)


def test_zero_predictions_under_a_mask_give_no_nan() -> None:
    for name in ("categorical_crossentropy", "sparse_categorical_crossentropy", "kl_divergence"):
        y, p = sample(CASES[name][0])
        p[0] = 0
        mask = np.ones((4, 3), bool)
        mask[0] = False
        x = tensor(p, requires_grad=True)
        loss = OBJECTS[name]()(y, x, mask=mask)
        assert np.isfinite(loss.item()) and np.isfinite(grad(loss, x).numpy()).all()


def test_row_weights_and_step_weights() -> None:
    y, p = sample("real")
    values = ((y - p) ** 2).mean(-1)
    rows, steps = np.arange(4.0), np.arange(12.0).reshape(4, 3)
    loss = losses.MeanSquaredError()
    for w, full in [
        (rows, rows[:, None]),
        (rows[:, None], rows[:, None]),
        (steps, steps),
        (steps[..., None], steps),
    ]:
        assert_allclose(loss(y, p, sample_weight=w).item(), (values * full).mean(), rtol=1e-12)
    weighted = losses.MeanSquaredError("mean_with_sample_weight")(y, p, sample_weight=rows)
    assert_allclose(weighted.item(), (values * rows[:, None]).sum() / (rows.sum() * 3), rtol=1e-12)
    for bad in (np.ones(3), np.ones((4, 2)), np.ones((4, 3, 5, 1))):
        with pytest.raises(ValueError, match=r"sample_weight of shape .* does not fit values of shape"):
            loss(y, p, sample_weight=bad)
    one_axis = loss(y[:, 0, 0], p[:, 0, 0], sample_weight=rows)
    assert_allclose(one_axis.item(), ((y - p)[:, 0, 0] ** 2 * rows).mean(), rtol=1e-12)


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


def test_many_classes_with_small_label_types() -> None:
    p = np.zeros((1, 300))
    p[0, 44] = 1.0
    with pytest.raises(ValueError, match="value 300"):
        losses.SparseCategoricalCrossentropy()(np.array([300]), p)
    value = losses.SparseCategoricalCrossentropy()(np.array([44], np.uint8), p)
    assert value.item() < 1e-6


@pytest.mark.parametrize("name", sorted(set(CASES) - {"sparse_categorical_crossentropy"}))
def test_nan_targets_raise_with_position(name: str) -> None:
    y, p = sample(CASES[name][0])
    y[2, 1, 4] = np.nan
    with pytest.raises(ValueError, match=rf"{name}: y_true is NaN at position \(2, 1, 4\)"):
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
