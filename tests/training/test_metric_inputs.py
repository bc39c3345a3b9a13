"""Metrics: input that does not fit, thresholds, areas by hand, what is kept of nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tinygrad_rnn import losses, metrics, tensor

Y, P = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.5, 0.3, 0.9, 0.5])


@given(data=st.data())
def test_counts_by_hand(data: st.DataObject) -> None:
    """Ties, unsorted thresholds and 0 and 1 included."""
    n = data.draw(st.integers(0, 12))
    grid = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    p = np.array(data.draw(st.lists(grid, min_size=n, max_size=n)))
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), int)
    at = data.draw(st.lists(grid, min_size=2, max_size=4))
    for name, label, above in (
        ("TruePositives", 1, True), ("FalsePositives", 0, True),
        ("TrueNegatives", 0, False), ("FalseNegatives", 1, False),
    ):  # fmt: skip
        counted = getattr(metrics, name)(thresholds=at)(y, p)
        assert counted.tolist() == [sum((y == label) & ((p > t) == above)) for t in at]


def test_thresholds_are_compared_in_the_type_of_the_predictions() -> None:
    p = np.array([0.3, 0.1, 0.7], "float32")
    assert metrics.TruePositives(thresholds=[0.3, 0.1, 0.7])([1, 1, 1], p).tolist() == [1.0, 2.0, 0.0]


def test_nan_is_never_positive() -> None:
    m = metrics.Recall()
    assert m([1, 1], np.array([np.nan, 0.9])) == 0.5
    assert metrics.FalseNegatives()([1, 1], np.array([np.nan, 0.9])) == 1.0


def test_the_largest_k_are_k_even_with_ties() -> None:
    m = metrics.TruePositives()
    precision = metrics.Precision(top_k=2)
    assert precision([[1, 1, 1, 1]], [[0.5, 0.5, 0.5, 0.5]]) == 1.0
    assert precision.counts is not None and precision.counts[0] == 2.0
    assert metrics.Recall(top_k=1)([[1, 0], [1, 0]], [[-3.0, -4.0], [-4.0, -3.0]]) == 0.5
    assert m.result() == 0.0


def test_area_of_many_thresholds_is_the_share_of_ordered_pairs() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.random(200) > 0.6, rng.random(200)
    pairs = (p[y][:, None] > p[~y]).mean()
    assert_allclose(metrics.AUC(num_thresholds=20001)(y, p), pairs, atol=1e-3)
    assert metrics.AUC()(p > 0.5, p) == pytest.approx(1.0, abs=1e-3)
    lower = metrics.AUC(summation_method="minoring")(y, p)
    upper = metrics.AUC(summation_method="majoring")(y, p)
    assert lower < metrics.AUC()(y, p) < upper


def test_a_curve_that_ends_where_nothing_is_found() -> None:
    assert metrics.AUC(curve="PRGAIN")([1, 0, 0], [0.9, 0.1, 0.2]) == pytest.approx(1.0)


def test_predictions_of_zero_find_no_class() -> None:
    m = metrics.F1Score(average="micro")
    assert m([[1, 0]], [[0.0, 0.0]]) == 0.0
    assert m.counts is not None and m.counts.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_logits_are_named() -> None:
    for m, hint in (
        (metrics.AUC(), "from_logits=True"),
        (metrics.PrecisionAtRecall(0.5), "a sigmoid or softmax last"),
    ):
        before = m.result()
        with pytest.raises(ValueError, match=rf"y_pred is 2.5 at position \(1, 0\), no probability.*{hint}"):
            m.update_state([[0], [1]], np.array([[0.5], [2.5]]))
        assert m.result() == before
        m.update_state([[0], [1]], np.array([[0.5], [2.5]]), sample_weight=[1, 0])
    with pytest.raises(ValueError, match=r"auc: y_true is NaN at position \(1,\)"):
        metrics.AUC()([0, np.nan], P[:2])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: metrics.Precision(thresholds=[0.5, 1.5]), r"thresholds from 0 to 1, received \[0.5, 1.5\]"),
        (lambda: metrics.Recall(thresholds=[]), "thresholds from 0 to 1"),
        (lambda: metrics.AUC(curve="roc"), r"curve must be one of \('ROC', 'PR', 'PRGAIN'\), received 'roc'"),
        (lambda: metrics.AUC(summation_method="sum"), "summation_method must be one of"),
        (lambda: metrics.AUC(num_thresholds=1), "num_thresholds must be 2 or more, received 1"),
        (lambda: metrics.AUC(num_labels=3), "num_labels goes with multi_label=True"),
        (lambda: metrics.RecallAtPrecision(1.5), "precision must be from 0 to 1, received 1.5"),
        (lambda: metrics.RecallAtPrecision(0.5, num_thresholds=0), "num_thresholds must be 1 or more"),
        (lambda: metrics.FBetaScore(average="mean"), "average must be one of"),
        (lambda: metrics.FBetaScore(beta=0.0), "beta must be above 0"),
        (lambda: metrics.F1Score(threshold=0.0), "threshold must be above 0"),
        (lambda: metrics.R2Score("mean"), "class_aggregation: one of"),
        (lambda: metrics.R2Score(num_regressors=-1), "num_regressors must be 0 or more"),
        (lambda: metrics.IoU(2, [2]), r"target_class_ids must be in 0..1, received \[2\]"),
        (
            lambda: metrics.MeanSquaredError(nme="a"),
            r"MeanSquaredError\(name='mean_squared_error', dtype=None\)",
        ),
        (
            lambda: losses.Huber(dleta=2.0),
            r"Huber\(delta: float = 1.0.*unexpected keyword argument 'dleta'",
        ),
    ],
)
def test_arguments_that_make_no_sense(make: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        make()


def test_shapes_that_make_no_sense() -> None:
    one_hot = np.eye(3)
    for m, y, p, said in (
        (metrics.Precision(top_k=1), Y, P, r"top_k and class_id need .*received \(5,\) and \(5,\)"),
        (metrics.Precision(class_id=3), one_hot, one_hot, r"class_id 3 is not one of 0\.\.2"),
        (metrics.F1Score(), Y, P, r"\(batch, …, classes\), received \(5,\) and \(5,\)"),
        (metrics.AUC(multi_label=True, num_labels=2), one_hot, one_hot, r"expected predictions of shape"),
        (metrics.Precision(), one_hot, one_hot[:, :1], r"\(3, 3\) does not fit y_pred of shape \(3, 1\)"),
    ):
        with pytest.raises(ValueError, match=said):
            m.update_state(y, p)
        assert m.counts is None
    m = metrics.F1Score(average="macro")
    m.update_state(one_hot, one_hot)
    with pytest.raises(ValueError, match="another number of classes"):
        m.update_state(np.eye(2), np.eye(2))
    assert m.result() == pytest.approx(1.0)
    m.reset_state()
    assert m(np.eye(2), np.eye(2)) == pytest.approx(1.0)


def test_r2_of_regressors_and_constants() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.standard_normal((20, 1)), rng.standard_normal((20, 1)) * 0.1
    plain = metrics.R2Score()(y, y + p)
    assert_allclose(metrics.R2Score(num_regressors=3)(y, y + p), 1 - (1 - plain) * 19 / 16, rtol=1e-10)
    with pytest.warns(UserWarning, match="20 values are too few for 19 regressors"):
        assert metrics.R2Score(num_regressors=19)(y, y + p) == plain
    assert metrics.R2Score()([1.0, 1.0], [1.0, 2.0]) == 0.0
    assert metrics.PearsonCorrelation()([[1.0, 1.0]], [[1.0, 2.0]]) == 0.0


def test_labels_that_are_no_class_do_not_count_in_iou() -> None:
    m = metrics.MeanIoU(num_classes=2)
    assert m([0, 1, -1, 7], [0, 1, 0, 0]) == 1.0
    assert metrics.IoU(3, target_class_ids=[0, 2])([0, 0], [0, 0]) == 1.0  # class 2 does not occur
    assert m([1], [0], sample_weight=[2.0]) == pytest.approx((1 / 3 + 1 / 3) / 2)


def test_perplexity_is_the_exponential_of_the_crossentropy() -> None:
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 5, (4, 3)), rng.standard_normal((4, 3, 5))
    nats = metrics.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    assert_allclose(metrics.Perplexity(from_logits=True)(labels, logits), math.exp(nats), rtol=1e-12)
    assert_allclose(
        metrics.BitsPerCharacter(from_logits=True)(labels, logits), nats / math.log(2), rtol=1e-12
    )
    same = metrics.Perplexity(from_logits=True, ignore_class=2)
    assert_allclose(same(labels, np.zeros((4, 3, 5))), 5.0, rtol=1e-6)
    assert metrics.Perplexity(from_logits=True)([0], [[-1e4, 1e4]]) == math.inf


def test_crossentropy_by_shapes() -> None:
    for y, p, name in (
        ((6, 1), (6, 1), "BinaryCrossentropy"),
        ((6,), (6,), "BinaryCrossentropy"),
        ((6,), (6, 4), "SparseCategoricalCrossentropy"),
        ((6, 3, 1), (6, 3, 4), "SparseCategoricalCrossentropy"),
        ((6, 4), (6, 4), "CategoricalCrossentropy"),
    ):
        for short in ("crossentropy", "ce"):
            metric, loss = metrics.fitting(short, y, p), losses.fitting(short, y, p)
            assert type(metric).__name__ == type(loss).__name__ == name and metric.name == short
            yy, pp = np.zeros(y), np.full(p, 1 / p[-1] if name[0] != "B" else 0.5)
            assert_allclose(metric(yy, tensor(pp)), loss(yy, pp).item(), atol=1e-6)
    assert losses.fitting("mse", (6,), (6, 1)).name == "mean_squared_error"
