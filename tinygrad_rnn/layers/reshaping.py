"""Layers that move, repeat or cut elements: Flatten, Reshape, Permute, RepeatVector, cropping, padding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops import expand_dims, pad, repeat, reshape, transpose
from .layer import Layer


class Flatten(Layer):
    """All axes but the first in one: (batch, a, b) → (batch, a·b); (batch,) → (batch, 1).

    `data_format="channels_first"` says that axis 1 holds the channels; it is put last before.

    >>> Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    one_input = True

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = _data_format(self, data_format)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        if self.data_format == "channels_first" and inputs.ndim > 1:
            inputs = transpose(inputs, (0, *range(2, inputs.ndim), 1))
        return reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))


class Reshape(Layer):
    """The same elements in `target_shape` (without the batch axis; one entry may be −1).

    >>> Reshape((2, -1))(np.ones((3, 8))).shape
    (3, 2, 4)
    """

    one_input = True

    def __init__(self, target_shape: Any, **options: Any) -> None:
        super().__init__(**options)
        shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if any(not isinstance(n, (int, np.integer)) or n < -1 for n in shape) or shape.count(-1) > 1:
            raise ValueError(
                f"Reshape: target_shape holds whole numbers, one of which may be -1, received {target_shape!r}"
            )
        self.target_shape = shape

    def check_input(self, inputs: Any) -> None:
        """As many elements as the target shape has, or a multiple for a −1 in it."""
        have, want = math.prod(inputs.shape[1:]), math.prod(n for n in self.target_shape if n != -1)
        if have != want if -1 not in self.target_shape else want == 0 or have % want:
            raise ValueError(
                f"{self.name}: inputs of shape {inputs.shape} have {have} elements each, "
                f"which do not fit target_shape {self.target_shape}"
            )

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        known = math.prod(n for n in self.target_shape if n != -1)
        rest = math.prod(inputs.shape[1:]) // max(known, 1)
        return reshape(inputs, (inputs.shape[0], *(rest if n == -1 else n for n in self.target_shape)))


class Permute(Layer):
    """Axes in another order: `dims[i]` is the axis that comes to place i + 1 (1 is the first behind the batch).

    >>> Permute((2, 1))(np.ones((3, 4, 5))).shape
    (3, 5, 4)
    """

    one_input = True

    def __init__(self, dims: Any, **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute: dims must be the numbers 1 to n, each once, in any order, received {dims!r}"
            )

    def check_input(self, inputs: Any) -> None:
        """One axis for each of `dims`, and the batch."""
        _check_rank(self, inputs, len(self.dims) + 1, f"with {len(self.dims) + 1} axes")

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """The same vector `n` times: (batch, features) → (batch, n, features).

    >>> RepeatVector(3)(np.ones((2, 4))).shape
    (2, 3, 4)
    """

    one_input = True

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = _positive(self, "n", n)

    def check_input(self, inputs: Any) -> None:
        """Two axes."""
        _check_rank(self, inputs, 2, "(batch, features)")

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return repeat(expand_dims(inputs, 1), self.n, axis=1)


class _Steps(Layer):
    """Base of the layers for (batch, time, features) alone."""

    one_input = True

    def check_input(self, inputs: Any) -> None:
        """Three axes."""
        _check_rank(self, inputs, 3, "(batch, time, features)")


class Cropping1D(_Steps):
    """Cut steps off: `cropping[0]` at the start, `cropping[1]` at the end (one number: at both).

    >>> Cropping1D((1, 0))(np.array([[[1.0], [2.0], [3.0]]])).tolist()
    [[[2.0], [3.0]]]
    """

    def __init__(self, cropping: Any = (1, 1), **options: Any) -> None:
        super().__init__(**options)
        self.cropping = _pair(self, "cropping", cropping)

    def check_input(self, inputs: Any) -> None:
        """Three axes, and more steps than are cut off."""
        super().check_input(inputs)
        if inputs.shape[1] <= sum(self.cropping):
            raise ValueError(
                f"{self.name}: cropping {self.cropping} leaves nothing of {inputs.shape[1]} time steps"
            )

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return inputs[:, self.cropping[0] : inputs.shape[1] - self.cropping[1]]


class ZeroPadding1D(_Steps):
    """Add steps of zeros: `padding[0]` at the start, `padding[1]` at the end (one number: at both).

    `data_format="channels_first"` pads the last axis instead.

    >>> ZeroPadding1D((1, 0))(np.array([[[1.0]]])).tolist()
    [[[0.0], [1.0]]]
    """

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.padding = _pair(self, "padding", padding)
        self.data_format = _data_format(self, data_format)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        last = self.data_format == "channels_first"
        return pad(inputs, [(0, 0), (0, 0), self.padding] if last else [(0, 0), self.padding, (0, 0)])


class UpSampling1D(_Steps):
    """Every time step `size` times.

    >>> UpSampling1D(2)(np.array([[[1.0], [2.0]]])).tolist()
    [[[1.0], [1.0], [2.0], [2.0]]]
    """

    def __init__(self, size: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.size = _positive(self, "size", size)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return repeat(inputs, self.size, axis=1)


def _check_rank(layer: Layer, inputs: Any, rank: int, expected: str) -> None:
    if inputs.ndim != rank:
        raise ValueError(f"{layer.name}: expected inputs {expected}, received shape {inputs.shape}")


def _positive(layer: Layer, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{type(layer).__name__}: {name} must be a positive integer, received {value!r}")
    return int(value)


def _pair(layer: Layer, name: str, value: Any) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in pair):
        raise ValueError(
            f"{type(layer).__name__}: {name} must be a number of steps, or two of them, received {value!r}"
        )
    return int(pair[0]), int(pair[1])


def _data_format(layer: Layer, value: str | None) -> str:
    if value not in (None, "channels_last", "channels_first"):
        raise ValueError(
            f"{type(layer).__name__}: data_format must be 'channels_last' or 'channels_first', received {value!r}"
        )
    return value or "channels_last"
