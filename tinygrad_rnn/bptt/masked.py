"""Masks of time steps, and a step with a mask: where it is not valid, nothing changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.op import Array
from ..core.record import followed, tracing
from ..core.tensor import Tensor
from ..ops.elementwise import where


@followed
def valid_steps(mask: Any, turned: bool = False) -> Array:
    """A mask (batch, time, ...) as booleans of its own; `turned` from the last step to the first.

    >>> valid_steps([[1, 1, 0]], True).tolist()
    [[False, True, True]]
    """
    valid: Array = np.asarray(mask).astype(bool)
    return valid[:, ::-1] if turned else valid


@followed
def of_elements(mask: Any, shape: tuple[int, ...]) -> Array:
    """A mask of steps for elements of `shape`, which has one axis more.

    >>> of_elements([True, False], (2, 3)).tolist()
    [[True, True, True], [False, False, False]]
    """
    return np.broadcast_to(np.asarray(mask)[..., None], shape)


def of_valid_steps(x: Tensor, mask: Any) -> Tensor:
    """Data in which the steps that a mask `(batch, time)` leaves out repeat the first valid one of their example.

    These steps have gradients that are 0, and a weight's gradient multiplies what the step makes of the data: `0 · NaN`
    is not 0, and of zeros a step makes NaN if it divides by their norm. What was computed stays as it is.

    >>> of_valid_steps(Tensor(np.array([[[1.0], [np.nan]]]), None), [[1, 0]]).tolist()
    [[[1.0], [1.0]]]
    """
    if x._node is not None or x.dtype.kind not in "fc" or tracing():
        return x
    found = _repeated(x, mask)
    data = found._data if isinstance(found, Tensor) else found
    return x if data is x._data else Tensor(data, None)


@followed
def _repeated(x: Any, mask: Any) -> Array:
    array, valid = np.asarray(x), np.asarray(mask).astype(bool)
    if valid.shape != array.shape[:2] or valid.all():
        return array
    some = valid.any(axis=1)
    rows = np.where(some, np.arange(len(valid)), np.argmax(some))  # one that has none takes another's
    first = array[rows, valid.argmax(axis=1)[rows]] if np.any(some) else np.zeros_like(array[:, 0])
    return np.where(valid[(..., *(None,) * (array.ndim - 2))], array, first[:, None])


class Masked:
    """A step that keeps states and output where the last of its inputs, which says what is padding, is True.

    The previous outputs are states of it, unless an output is a state that starts from zeros anyway.
    """

    def __init__(
        self, step: Any, several_in: bool, outputs: list[Tensor], repeated: list[int | None]
    ) -> None:
        self.step, self.several_in, self.outputs, self.repeated = step, several_in, outputs, repeated

    def first_outputs(self) -> list[Tensor]:
        """What is repeated before the first valid step: zeros."""
        return [o for o, j in zip(self.outputs, self.repeated, strict=True) if j is None]

    def __call__(self, x_t: Any, states: list[Any], constants: Any) -> tuple[Any, list[Any]]:
        """One step; where it is padding, nothing changes."""
        *inputs, padding = x_t
        previous = states[len(states) - len(self.first_outputs()) :]
        own = states[: len(states) - len(previous)]
        output, new = self.step(tuple(inputs) if self.several_in else inputs[0], own, constants)
        outputs = output if isinstance(output, tuple) else (output,)
        # the old ones are copied over the new, which are where they have to be
        new = selected(padding, own, new if isinstance(new, (list, tuple)) else [new])
        apart = [o for o, j in zip(outputs, self.repeated, strict=True) if j is None]
        last = selected(padding, previous, apart)
        remaining = iter(last)
        kept = tuple([next(remaining) if j is None else new[j] for j in self.repeated])
        return (kept if isinstance(output, tuple) else kept[0]), [*new, *last]


def selected(first: Any, ones: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """The first tensors in the rows of the batch where `first` is True, the others elsewhere."""
    chosen = zip(ones, others, strict=True)
    return [where(first[(slice(None), *(None,) * (a.ndim - 1))], a, b) for a, b in chosen]
