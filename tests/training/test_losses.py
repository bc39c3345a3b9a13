"""Losses: values against formulas in float64, Keras in float32; weights, masks, reductions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import APART, CASES, EPS, OBJECTS, WHOLE, expected, sample
from numpy.testing import assert_allclose

import tinygrad_rnn as tg
from tinygrad_rnn import grad, losses, tensor


def test_every_loss_has_a_case() -> None:
    assert set(CASES) | set(WHOLE) | APART == set(OBJECTS)
    functions = {
        n for n, f in losses.REGISTRY._entries.items() if not isinstance(f, type) and f.__name__ == n
    }
    assert functions == set(OBJECTS)


@pytest.mark.parametrize("name", [*CASES, *WHOLE])
def test_values_and_gradients_against_formula(name: str) -> None:
    torch = pytest.importorskip("torch")
    y, p = sample((CASES | WHOLE)[name][0])
    for _ in range(2):
        x, theirs = tensor(p, requires_grad=True), torch.tensor(p, requires_grad=True)
        values = getattr(losses, name)(y, x)
        assert values.dtype == np.float64
        assert_allclose(values.numpy(), expected(name, y, p), rtol=1e-10, atol=1e-13)
        loss = OBJECTS[name]()(y, x)
        assert loss.shape == () and loss.requires_grad
        mean = expected(name, y, theirs, torch).mean()
        mean.backward()
        assert_allclose(loss.item(), mean.item(), rtol=1e-10)
        assert_allclose(grad(loss, x).numpy(), theirs.grad.numpy(), rtol=1e-8, atol=1e-12)


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
            theirs_value = np.asarray(theirs(y, p, sample_weight=w))
            result = ours(y, p, sample_weight=w)
            assert result.dtype == np.float32
            assert_allclose(result.numpy(), theirs_value, rtol=2e-5, atol=1e-6, err_msg=name)


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
        ("BinaryFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, b, logits),
        ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5}, b, q),
        ("BinaryFocalCrossentropy", {"axis": 1}, b, q),
        ("CategoricalFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, y, logits),
        ("CategoricalFocalCrossentropy", {"alpha": 0.4, "gamma": 1.5}, y, 3 * p),
        ("CategoricalFocalCrossentropy", {"axis": 1}, y, p),
        ("Dice", {"axis": (1, 2)}, b, q),
        ("Dice", {"axis": [0], "reduction": "sum"}, b, q),
        ("Tversky", {"alpha": 0.3, "beta": 0.9, "axis": (1, 2)}, b, q),
        ("Tversky", {"alpha": 0.8}, b, q),
        ("Huber", {"delta": 0.3}, y, p),
        ("CosineSimilarity", {"axis": 1}, y, p),
        ("Hinge", {}, b, q),
        ("SquaredHinge", {}, b, q),
    ]:
        theirs_value = float(getattr(keras.losses, name)(**options)(yy, pp))
        loss = getattr(losses, name)(**options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 3 p is no probability
            assert_allclose(loss(yy, pp).item(), theirs_value, rtol=1e-5, err_msg=name)
    for name in ("CategoricalCrossentropy", "SparseCategoricalCrossentropy"):  # classes on axis 1
        yy, pp = (y.swapaxes(1, 2), p.swapaxes(1, 2)) if name[0] == "C" else (labels, p.swapaxes(1, 2))
        assert_allclose(
            getattr(losses, name)(axis=1)(yy, pp).item(),
            getattr(losses, name)()(y if name[0] == "C" else labels, p).item(),
            rtol=1e-6,
        )


@pytest.mark.parametrize("name", WHOLE)
def test_losses_of_regions(keras: Any, name: str) -> None:
    y, p = sample("binary")
    cls, weights = OBJECTS[name], np.array([0.5, 0.0, 2.0, 1.0])
    theirs = getattr(keras.losses, cls.__name__)(axis=(1, 2))
    ours = cls(axis=(1, 2))
    assert_allclose(ours(y, p, sample_weight=weights).item(), float(theirs(y, p, weights)), rtol=1e-5)
    rows = [getattr(losses, name)(y[i], p[i]).item() for i in range(4)]
    assert_allclose(getattr(losses, name)(y, p, axis=(1, 2)).numpy(), rows, rtol=1e-12)
    masked = ours(y, p, mask=weights > 0)
    assert_allclose(masked.item(), np.mean([rows[i] for i in (0, 2, 3)]), rtol=1e-12)
    with pytest.raises(ValueError, match=r"sample_weight of shape \(4,\) does not fit values of shape \(\)"):
        cls()(y, p, sample_weight=weights)


def test_focal_losses_of_certain_predictions_have_finite_gradients() -> None:
    for gamma in (0.0, 0.5, 2.0):
        for cls in (losses.BinaryFocalCrossentropy, losses.CategoricalFocalCrossentropy):
            x = tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
            loss = cls(gamma=gamma)([[1.0, 0.0], [1.0, 0.0]], x)
            assert np.isfinite(loss.item()) and np.isfinite(grad(loss, x).numpy()).all()


def test_probabilities_are_divided_by_their_sum() -> None:
    y, p = sample("labels")
    known = -np.log(np.take_along_axis(p, y[..., None], -1)[..., 0])
    values = losses.sparse_categorical_crossentropy(y, 3 * p)
    assert_allclose(values.numpy(), known, rtol=1e-10)
    assert_allclose(losses.categorical_crossentropy(np.eye(5)[y], 3 * p).numpy(), known, rtol=1e-10)
    certain = losses.sparse_categorical_crossentropy([0, 1], np.eye(2)[[0, 0]])
    assert_allclose(certain.numpy(), -np.log([1 - EPS, EPS]), rtol=1e-8)


def test_only_the_probabilities_of_labels_are_divided() -> None:
    x = tensor(np.full((4, 1000), 0.001, "float32"), requires_grad=True)
    graph = tg.graph(losses.sparse_categorical_crossentropy([1, 2, 3, 0], x))
    divided = [shape for op, shape in zip(graph.op, graph.shape, strict=True) if op == "divide"]
    assert divided == [(4,)]  # a pass over all classes costs as much as the softmax


def test_cross_entropies_of_logits_against_torch() -> None:
    torch = pytest.importorskip("torch")
    y, p = sample("labels", (6, 5))
    logits = torch.tensor(40 * (p - 0.2), requires_grad=True)
    known = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
    known.backward()
    x = tensor(logits.detach().numpy(), requires_grad=True)
    for loss in (
        losses.SparseCategoricalCrossentropy(from_logits=True)(y, x),
        losses.CategoricalCrossentropy(from_logits=True)(np.eye(5)[y], x),
    ):
        assert_allclose(loss.item(), known.item(), rtol=1e-12)
        assert_allclose(grad(loss, x).numpy(), logits.grad.numpy(), rtol=1e-10, atol=1e-15)


# --- masks and weights ----------------------------------------------------------------------------


def test_mask_scaling_against_keras(keras: Any, rng: np.random.Generator) -> None:
    y, p = (a.astype("float32") for a in sample("real"))
    mask, weights = rng.random((4, 3)) > 0.4, rng.random((4, 3)).astype("float32")
    for reduction in ("sum_over_batch_size", "sum", "none", "mean_with_sample_weight"):
        for w in (None, weights):
            x = keras.ops.convert_to_tensor(p)
            x._keras_mask = keras.ops.convert_to_tensor(mask)
            theirs = np.asarray(keras.losses.MeanSquaredError(reduction=reduction)(y, x, sample_weight=w))
            result = losses.MeanSquaredError(reduction=reduction)(y, p, sample_weight=w, mask=mask)
            assert_allclose(result.numpy(), theirs, rtol=1e-5)


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


@pytest.mark.parametrize("logits", [False, True])
def test_focal_crossentropy_with_a_factor_for_each_class(logits: bool) -> None:
    rng = np.random.default_rng(0)
    p, y, alpha = rng.random((4, 3)), np.eye(3)[[0, 1, 2, 1]], [0.2, 0.5, 0.9]
    p = p if logits else p / p.sum(-1, keepdims=True)
    found = losses.CategoricalFocalCrossentropy(alpha=alpha, from_logits=logits)(y, p).item()
    p = np.exp(p) / np.exp(p).sum(-1, keepdims=True) if logits else p
    np.testing.assert_allclose(
        found, -(np.array(alpha) * (1 - p) ** 2 * y * np.log(p)).sum(-1).mean(), rtol=1e-12
    )
