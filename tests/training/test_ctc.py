"""CTC: values and gradients against PyTorch and Keras, hand-counted paths, reading off, input that does not fit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tinygrad_rnn import grad, losses, ops, tensor


def batch(seed: int, rows: int = 5, steps: int = 9, classes: int = 4) -> tuple[np.ndarray, ...]:
    """Labels with repeats, padded with 0, logits, and lengths that leave enough steps."""
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 5, rows)
    labels = rng.integers(1, classes, (rows, 4)) * (np.arange(4) < n[:, None])
    ends = rng.integers(8, steps + 1, rows)  # 4 labels and 3 blanks between equal ones need 7
    return labels, 3 * rng.standard_normal((rows, steps, classes)), n, ends


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), blank=st.integers(0, 3))
def test_values_and_gradients_against_torch(seed: int, blank: int) -> None:
    torch = pytest.importorskip("torch")
    labels, logits, n, ends = batch(seed)
    labels = np.where(labels == blank, 0, labels)  # class 0 stands in for the class that is the blank here
    if blank == 0:
        n = (labels != 0).sum(-1)
    labels = np.where(np.arange(4) < n[:, None], labels, blank)
    x, theirs = tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    values = torch.nn.functional.ctc_loss(
        theirs.log_softmax(-1).transpose(0, 1), torch.tensor(labels), torch.tensor(ends), torch.tensor(n),
        blank=blank, reduction="none",
    )  # fmt: skip
    ours = ops.ctc_loss(labels, x, n, ends, mask_index=blank)
    assert_allclose(ours.numpy(), values.detach().numpy(), rtol=1e-10, atol=1e-12)
    weights = np.arange(1.0, 6.0)
    (values * torch.tensor(weights)).sum().backward()
    g = grad((ours * weights).sum(), x).numpy()
    assert_allclose(g, theirs.grad.numpy(), rtol=1e-8, atol=1e-10)
    assert (g[np.arange(9) >= ends[:, None]] == 0).all()


def test_every_path_counted() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1, 5, 3))
    p = np.exp(logits[0]) / np.exp(logits[0]).sum(-1, keepdims=True)
    for word in ([1], [1, 1], [2, 1], [1, 2, 2], []):
        total = 0.0
        for path in itertools.product(range(3), repeat=5):
            if [c for c, _ in itertools.groupby(path) if c] == word:
                total += np.prod(p[np.arange(5), path])
        labels = np.array([word + [0] * (4 - len(word))])
        assert_allclose(losses.ctc(labels, logits).item(), -np.log(total), rtol=1e-12)


def test_the_object_against_keras(keras: Any) -> None:
    labels, logits, _, _ = batch(3)
    labels, logits = labels.astype("int32"), logits.astype("float32")
    for reduction, weights in [("sum_over_batch_size", None), ("sum", np.arange(5.0)), ("none", None)]:
        theirs = np.asarray(keras.losses.CTC(reduction=reduction)(labels, logits, sample_weight=weights))
        for _ in range(2):
            ours = losses.CTC(reduction=reduction)(labels, logits, sample_weight=weights)
            assert ours.dtype == np.float32
            assert_allclose(ours.numpy(), theirs, rtol=2e-5)


def test_extreme_logits_and_empty_batches_stay_finite() -> None:
    labels = np.array([[1, 2], [0, 0]])
    for scale in (1e4, -1e4):
        x = tensor(scale * np.eye(3)[[[0, 1, 2, 0], [1, 1, 1, 1]]], requires_grad=True)
        loss = losses.CTC()(labels, x)
        assert np.isfinite(loss.item()) and np.isfinite(grad(loss, x).numpy()).all()
    x32 = tensor(np.zeros((2, 200, 3), "float32"), requires_grad=True)
    loss = losses.CTC()(labels, x32)
    assert np.isfinite(loss.item()) and np.isfinite(grad(loss, x32).numpy()).all()
    x = tensor(np.zeros((0, 4, 3)), requires_grad=True)
    assert losses.CTC()(labels[:0], x).item() == 0.0


def test_weights_and_masks_of_rows_but_not_of_steps() -> None:
    labels, logits, _, _ = batch(1)
    rows = losses.ctc(labels, logits).numpy()
    mask = np.array([True, False, True, True, False])
    labels_bad = labels.copy()
    labels_bad[1] = -9
    labels_bad[4] = [0, 1, 0, 1]
    for m in (mask, mask[:, None]):
        assert_allclose(losses.CTC()(labels_bad, logits, mask=m).item(), rows[mask].mean(), rtol=1e-12)
    weighted = losses.CTC()(labels_bad, logits, sample_weight=mask * 2.0)
    assert_allclose(weighted.item(), rows[mask].sum() * 2 / 5, rtol=1e-12)
    with pytest.raises(ValueError, match=r"ctc: every step of y_pred counts.*mask of shape \(5, 9\)"):
        losses.CTC()(labels, logits, mask=np.ones((5, 9), bool))


@pytest.mark.parametrize(
    ("labels", "steps", "said"),
    [
        ([[1, 1, 1]], 4, r"row 0 has 3 labels.*5 in all; received 4 steps"),
        ([[1, 2, 1], [1, 2, 0]], 2, r"row 0 has 3 labels.*3 in all; received 2 steps"),
        ([[1, 0, 2]], 9, r"label 1 of row 0 is 0, the blank"),
        ([[3, 0, 0]], 9, r"value 3 at position \(0, 0\)"),
        ([[1, -1, 0]], 9, r"value -1 at position \(0, 1\)"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, steps: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        losses.CTC()(labels, np.zeros((len(labels), steps, 3)))


def test_shapes_and_lengths_that_do_not_fit() -> None:
    for labels, shape in (([1, 2], (2, 4, 3)), ([[1]], (2, 4, 3)), ([[1]], (1, 4))):
        with pytest.raises(ValueError, match="ctc: expected y_true .batch, labels.*received shapes"):
            losses.ctc(labels, np.zeros(shape))
    for n, ends in (([2], [4]), ([1], [5]), ([1, 1], [4]), ([1], [-1])):
        with pytest.raises(ValueError, match="ctc_loss: .*_length: expected 1 lengths of 0 to [14]"):
            ops.ctc_loss([[1]], np.zeros((1, 4, 3)), n, ends)


@given(seed=st.integers(0, 10**6), merge=st.booleans(), blank=st.integers(0, 3))
def test_greedy_decoding(keras: Any, seed: int, merge: bool, blank: int) -> None:
    _, logits, _, ends = batch(seed)
    (decoded,), scores = ops.ctc_decode(logits, ends, merge_repeated=merge, mask_index=blank)
    theirs, their_scores = keras.ops.ctc_decode(
        logits.astype("float32"), ends, merge_repeated=merge, mask_index=blank
    )
    for row, path in enumerate(logits.argmax(-1)):
        steps = path[: ends[row]].tolist()
        word = [c for c, _ in itertools.groupby(steps)] if merge else steps
        word = [c for c in word if c != blank]
        assert decoded[row].tolist() == word + [-1] * (9 - len(word))
        assert np.asarray(theirs)[0, row].tolist()[: len(word)] == word
    assert_allclose(scores, np.asarray(their_scores), rtol=1e-5)


def test_decoding_says_what_it_cannot() -> None:
    with pytest.raises(ValueError, match="the strategy is 'greedy', received 'beam_search'"):
        ops.ctc_decode(np.zeros((1, 2, 3)), [2], "beam_search")
    with pytest.raises(ValueError, match=r"expected logits \(batch, steps, classes\)"):
        ops.ctc_decode(np.zeros((2, 3)), [2])
    with pytest.raises(ValueError, match="sequence_lengths: expected 1 lengths of 0 to 2"):
        ops.ctc_decode(np.zeros((1, 2, 3)), [3])
