"""Metrics: streams against the whole, Keras, weights and masks, what "accuracy" means."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_cases import CASES, IDS, OURS, sample
from numpy.testing import assert_allclose, assert_array_equal

from tinygrad_rnn import metrics, tensor
from tinygrad_rnn.metrics.metric import CountingMetric

NOTHING = {"Perplexity": 1.0}  # the result before the first batch, where it is not 0
every_case = pytest.mark.parametrize(("name", "kind", "options"), CASES, ids=IDS)
cuts = st.lists(st.integers(0, 6), min_size=2, max_size=2).map(sorted)


def test_every_metric_of_the_table_has_a_case() -> None:
    known = {m.__name__ for m in metrics.REGISTRY._entries.values()}
    assert known == {name for name, _, _ in CASES} | {"Mean", "Sum", "MeanMetricWrapper"}
    assert known | {"Metric"} == {n for n in metrics.__all__ if isinstance(getattr(metrics, n), type)} - {
        "Registry"
    }


@every_case
def test_streams_against_keras(keras: Any, name: str, kind: str, options: dict[str, Any]) -> None:
    if name in OURS:
        pytest.skip("not in Keras")
    y, p = (np.asarray(a, "float32") for a in sample(kind))
    rng = np.random.default_rng(1)
    weights = rng.random((6, 3)).astype("float32")
    if "IoU" in name:
        weights = rng.integers(0, 3, (6, 3))  # Keras cuts others off
    flat = issubclass(getattr(metrics, name), CountingMetric)
    if flat:  # Keras takes these of rank 2 or 1 only
        y, p, weights = (a.reshape(18, *a.shape[2:]) for a in (y, p, weights))
    rows = len(y) // 6
    for w in (None, weights, weights > 0.5, *(() if flat else (weights[:, 0],))):
        ours, theirs = getattr(metrics, name)(**options), getattr(keras.metrics, name)(**options)
        for _ in range(2):
            for a, b in ((0, 1), (1, 4), (4, 6)):
                part = slice(a * rows, b * rows)
                for m in (ours, theirs):
                    m.update_state(y[part], p[part], sample_weight=None if w is None else w[part])
            result = ours.result()
            assert isinstance(result, (float, np.ndarray))
            assert_allclose(result, np.asarray(theirs.result()), rtol=2e-5, atol=1e-6)
            ours.reset_state()
            theirs.reset_state()
            assert ours.result() == NOTHING.get(name, 0.0)
        assert ours._direction == getattr(theirs, "_direction", None)


@settings(max_examples=200)
@given(cut=cuts, case=st.sampled_from(CASES), weighted=st.booleans())
def test_three_batches_are_one(cut: list[int], case: Any, weighted: bool) -> None:
    name, kind, options = case
    y, p = sample(kind)
    w = np.random.default_rng(2).random((6, 3)) if weighted else None
    whole, parts = getattr(metrics, name)(**options), getattr(metrics, name)(**options)
    whole.update_state(y, p, w)
    for rows in (slice(0, cut[0]), slice(*cut), slice(cut[1], None)):
        parts.update_state(y[rows], p[rows], None if w is None else w[rows])
    assert_allclose(parts.result(), whole.result(), rtol=1e-10, atol=1e-12)


@every_case
def test_what_has_weight_zero_may_be_anything(name: str, kind: str, options: dict[str, Any]) -> None:
    y, p = sample(kind)
    mask = np.random.default_rng(3).random((6, 3)) > 0.5
    y_bad = np.where(mask if y.ndim == 2 else mask[..., None], y, -9 if y.dtype.kind == "i" else np.nan)
    p_bad = p if p.dtype.kind == "i" else np.where(mask[..., None], p, np.nan)
    masked, kept = getattr(metrics, name)(**options), getattr(metrics, name)(**options)
    masked.update_state(y_bad, tensor(p_bad), mask)
    kept.update_state(y[mask], p[mask])
    assert_allclose(masked.result(), kept.result(), rtol=1e-12)
    masked.update_state(y_bad, p, np.zeros((6, 3)))
    masked.update_state(y[:0], p[:0])
    assert_allclose(masked.result(), kept.result(), rtol=1e-12)


@every_case
def test_a_batch_that_does_not_fit_changes_nothing(name: str, kind: str, options: dict[str, Any]) -> None:
    y, p = sample(kind)
    m = getattr(metrics, name)(**options)
    m.update_state(y, p)
    before = m.result()
    for yy, pp, w in ((y, p, np.ones(5)), (y[:4], p, None), (y, p, np.ones((6, 3, 4, 2)))):
        with pytest.raises(ValueError, match=r"\(4|\(5|\(6"):
            m.update_state(yy, pp, w)
    assert_array_equal(m.result(), before)


def test_mean_and_sum(keras: Any) -> None:
    values, w = np.arange(6.0).reshape(3, 2), np.array([1.0, 0.0, 2.0])
    for name in ("Mean", "Sum"):
        for weight in (None, w, np.ones((3, 2)) * w[:, None]):
            expected = float(getattr(keras.metrics, name)()(values, sample_weight=weight))
            assert_allclose(getattr(metrics, name)()(values, sample_weight=weight), expected, rtol=1e-6)
    m = metrics.Mean(name="loss")
    assert m.name == "loss" and m.result() == 0.0 and m(3.0) == 3.0 and m(5.0) == 4.0
    assert m(np.nan, sample_weight=0.0) == 4.0


def test_one_axis_of_targets_counts_rows() -> None:
    for name in ("MeanSquaredError", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy"):
        m, column = getattr(metrics, name)(), getattr(metrics, name)()
        y, p, w = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.9, 0.4]), np.array([1.0, 2.0, 0.0])
        assert_allclose(m(y, p, sample_weight=w), column(y[:, None], p[:, None], sample_weight=w), rtol=1e-12)
        assert m.count == 3.0


def test_labels_that_are_no_class_are_never_right() -> None:
    p = np.array([[0.1, 0.9], [0.9, 0.1], [0.5, 0.5]])
    assert metrics.SparseCategoricalAccuracy()([1, -1, 7], p) == pytest.approx(1 / 3)
    assert metrics.SparseTopKCategoricalAccuracy(k=1)([1, -1, 7], p) == pytest.approx(1 / 3)
    assert metrics.SparseTopKCategoricalAccuracy(k=1)([1], np.array([[0.3, np.nan]])) == 0.0
    ties = metrics.sparse_top_k_categorical_accuracy([0, 1], np.array([[0.5, 0.5], [0.5, 0.5]]), k=1)
    assert ties.tolist() == [1.0, 1.0]
    ids = metrics.SparseTopKCategoricalAccuracy(k=1, from_sorted_ids=True)
    assert ids([2, 0], np.array([[2, 1], [1, 2]])) == 0.5


def test_ignored_labels_do_not_count() -> None:
    y, p = sample("labels")
    y[2] = -1
    cls = metrics.SparseCategoricalCrossentropy
    for w in (None, np.arange(6.0)):
        ignoring, kept = cls(ignore_class=-1), cls()
        kept.update_state(np.delete(y, 2, 0), np.delete(p, 2, 0), None if w is None else np.delete(w, 2))
        assert_allclose(ignoring(y, p, w), kept.result(), rtol=1e-12)
    column = cls(ignore_class=-1)(y[..., None], p, np.ones((6, 3, 1)))
    assert_allclose(column, cls(ignore_class=-1)(y, p), rtol=1e-12)


def test_shapes_that_do_not_fit_raise() -> None:
    with pytest.raises(ValueError, match=r"labels of shape \(2,\) do not fit y_pred of shape \(3, 4\)"):
        metrics.SparseCategoricalAccuracy()([0, 1], np.ones((3, 4)))
    with pytest.raises(ValueError, match="y_true of shape"):
        metrics.CategoricalAccuracy()(np.ones((3, 1)), np.ones((3, 4)))
    with pytest.raises(ValueError, match="sample_weight of shape"):
        metrics.MeanSquaredError()(np.ones((3, 4)), np.ones((3, 4)), sample_weight=np.ones(4))


@pytest.mark.parametrize(
    ("y", "p", "cls"),
    [
        ((8, 1), (8, 1), "BinaryAccuracy"),
        ((8,), (8, 1), "BinaryAccuracy"),
        ((8,), (8,), "BinaryAccuracy"),
        ((8, 3, 1), (8, 3, 1), "BinaryAccuracy"),
        ((8,), (8, 5), "SparseCategoricalAccuracy"),
        ((8, 1), (8, 5), "SparseCategoricalAccuracy"),
        ((8, 3), (8, 3, 5), "SparseCategoricalAccuracy"),
        ((8, 5), (8, 5), "CategoricalAccuracy"),
    ],
)
def test_what_accuracy_means(y: tuple[int, ...], p: tuple[int, ...], cls: str) -> None:
    assert metrics.resolve_accuracy(y, p).__name__ == cls
    metrics.resolve_accuracy(y, p)(name="accuracy").update_state(np.zeros(y), np.ones(p))


def test_names_and_functions() -> None:
    assert isinstance(metrics.get("mse"), metrics.MeanSquaredError)
    assert isinstance(metrics.get("accuracy"), metrics.Accuracy)
    assert metrics.get("binary_accuracy").name == "binary_accuracy"
    mine = metrics.MeanMetricWrapper(lambda y, p, power: abs(y - p) ** power, name="gap", power=3)
    assert mine([[1.0]], [[3.0]]) == 8.0 and mine.name == "gap"
    wrapped = metrics.MeanMetricWrapper("mse")
    again = metrics.get(metrics.serialize(wrapped))
    assert again.name == "mean_squared_error" and again([[1.0]], [[3.0]]) == 4.0


def test_base_class_says_what_to_define() -> None:
    m = metrics.Metric()
    for call in (m.update_state, m.result, m.reset_state):
        with pytest.raises(NotImplementedError, match="Metric must define"):
            call()


def test_no_graph_and_no_array_is_kept() -> None:
    import weakref

    x = tensor(np.ones((2, 2)), requires_grad=True)
    y = x * 2.0
    alive = weakref.ref(y)
    m = metrics.MeanSquaredError()
    gc.disable()
    try:
        m.update_state(np.zeros((2, 2)), y)
        del y
        assert alive() is None
    finally:
        gc.enable()
    assert all(not isinstance(v, np.ndarray) for v in vars(m).values())
