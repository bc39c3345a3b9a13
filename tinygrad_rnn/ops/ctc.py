"""Connectionist temporal classification: the likelihood of labels without an alignment, and reading them off."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.op import Array
from .elementwise import where
from .indexing import check_ids, pad, take_along_axis
from .nn import log_softmax
from .reduce import logsumexp
from .shape import shape, stack, unstack

_NEVER = -1e30  # ln of the probability of what cannot be: finite, so that its gradient is 0 and not NaN


def _lengths(what: str, given: Any, batch: int, longest: int) -> Array:
    lengths: Array = np.asarray(given, int)
    if lengths.shape != (batch,) or (batch and not (0 <= lengths.min() and lengths.max() <= longest)):
        raise ValueError(f"{what}: expected {batch} lengths of 0 to {longest}, received {lengths.tolist()}")
    return lengths


def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Any:
    """`−ln Σ Π_t p_t(path_t)` over the paths that give the labels when repeats and blanks are taken out.

    `output` `(B, T, C)` holds logits, `target` `(B, L)` labels; only the first `output_length` steps and
    `target_length` labels of a row count. `mask_index` is the blank. The result has shape `(B,)`. The sum is
    the forward recursion over the labels with blanks between them, in logarithms (Graves et al. 2006).

    Raises `ValueError` for labels that are no class or blank, and for rows with too few steps for their labels.

    >>> ctc_loss([[1]], np.zeros((1, 2, 2)), [1], [2]).round(4).tolist()
    [0.2877]
    """
    sizes, labels = shape(output), np.asarray(target)
    if len(sizes) != 3 or labels.ndim != 2 or len(labels) != sizes[0]:
        raise ValueError(
            f"ctc_loss: expected labels (batch, labels) and logits (batch, steps, classes), received shapes "
            f"{labels.shape} and {sizes}"
        )
    batch, steps, classes = sizes
    n = _lengths("ctc_loss: target_length", target_length, batch, labels.shape[1])
    ends = _lengths("ctc_loss: output_length", output_length, batch, steps)
    used = np.arange(labels.shape[1]) < n[:, None]
    labels = check_ids(np.where(used, labels, mask_index), classes, "ctc_loss: label")
    if (blank := used & (labels == mask_index)).any():
        row, i = (int(v) for v in np.argwhere(blank)[0])
        raise ValueError(
            f"ctc_loss: label {i} of row {row} is {mask_index}, the blank; it stands for no class"
        )
    repeated = used[:, 1:] & (labels[:, 1:] == labels[:, :-1])
    if (short := ends < n + repeated.sum(-1)).any():
        row = int(np.argmax(short))
        raise ValueError(
            f"ctc_loss: row {row} has {n[row]} labels and needs a step for each and for a blank between equal "
            f"ones, {n[row] + repeated[row].sum()} in all; received {ends[row]} steps"
        )
    places = np.full((batch, 2 * labels.shape[1] + 1), mask_index)  # blank, label, blank, label, ..., blank
    places[:, 1::2] = labels
    log_p = log_softmax(output)
    number, never = np.arange(places.shape[1]), log_p.dtype.type(_NEVER)
    skip = np.full(places.shape, never)  # a label may follow the one before directly if it is another one
    skip[:, 3::2][labels[:, 1:] != labels[:, :-1]] = 0.0
    emitted = take_along_axis(log_p, np.broadcast_to(places[:, None], (batch, steps, number.size)), axis=-1)
    at = np.broadcast_to(
        np.where(number == 0, 0, never), places.shape
    )  # ln p of being there after the steps so far
    shortest = ends.min(initial=steps)
    for t, ln_p in enumerate(unstack(emitted, axis=1)):
        wide = pad(at, ((0, 0), (2, 0)), constant_values=never)
        moved = logsumexp(stack([wide[:, 2:], wide[:, 1:-1], wide[:, :-2] + skip]), axis=0) + ln_p
        at = moved if t < shortest else where((t < ends)[:, None], moved, at)
    last = (number == 2 * n[:, None]) | (number == 2 * n[:, None] - 1)
    return -logsumexp(where(last, at, never), axis=1)


def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Array, Array]:
    """The best class of every step of logits `(B, T, C)`, without repeats and blanks: `(1, B, T)`, filled with −1.

    Also minus the sum of the best logits, `(B, 1)`. Only the first `sequence_lengths` steps of a row count.
    The strategy is "greedy"; `ValueError` for another one.

    >>> ctc_decode(np.eye(3)[[[0, 1, 1, 0, 2]]], [5])[0].tolist()
    [[[1, 2, -1, -1, -1]]]
    """
    if strategy != "greedy":
        raise ValueError(f"ctc_decode: the strategy is 'greedy', received {strategy!r}")
    logits = np.asarray(inputs)
    if logits.ndim != 3:
        raise ValueError(
            f"ctc_decode: expected logits (batch, steps, classes), received shape {logits.shape}"
        )
    batch, steps, _ = logits.shape
    ends = _lengths("ctc_decode: sequence_lengths", sequence_lengths, batch, steps)
    used = np.arange(steps) < ends[:, None]
    best = np.where(used, logits.argmax(-1), mask_index)
    kept = best != mask_index
    if merge_repeated:
        kept[:, 1:] &= best[:, 1:] != best[:, :-1]
    decoded = np.full((batch, steps), -1, np.int32)
    rows, _ = np.nonzero(kept)
    decoded[rows, (kept.cumsum(-1) - 1)[kept]] = best[kept]
    scores = -np.where(used, logits.max(-1), 0).sum(-1, keepdims=True)
    return decoded[None], np.asarray(scores)
