"""Pooling over time: the largest or the mean element of each window, or of the whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bptt.masked import valid_steps
from ..core.record import followed
from ..ops import max, mean, stack, sum, where
from .layer import Layer
from .windows import Windows, check_format, check_sequence


class _Pooling1D(Layer):
    """Base of the layers that pool over windows."""

    one_input = True

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        stride = pool_size if strides is None else strides
        kind = type(self).__name__
        self.windows = Windows(
            kind, pool_size, stride, padding, data_format=data_format, paddings=("valid", "same")
        )
        self.pool_size, self.strides = (self.windows.size,), (self.windows.stride,)
        self.padding, self.data_format = self.windows.padding, "channels_last"

    def check_input(self, inputs: Any) -> None:
        """Three axes, and at least one window."""
        self.windows.check(self.name, inputs)


class MaxPooling1D(_Pooling1D):
    """The largest element of each window of `pool_size` steps: (batch, time, features) → (batch, windows, features).

    `strides` is `pool_size` by default. `padding`: "valid", or "same" with ⌈time / strides⌉ windows. Ties
    share the gradient equally. Raises `ValueError` for `channels_first` and for sequences that are shorter
    than the window.

    >>> MaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]])).tolist()
    [[[3.0], [2.0]]]
    """

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **options)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        lowest = -np.inf if inputs.dtype.kind == "f" else np.iinfo(inputs.dtype).min
        return max(stack(self.windows.pieces(inputs, lowest)), axis=0)


class AveragePooling1D(_Pooling1D):
    """The mean of each window of `pool_size` steps, as `MaxPooling1D`; steps of the padding do not count.

    >>> AveragePooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]])).tolist()
    [[[2.0], [1.0]]]
    """

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        ones = np.ones((1, inputs.shape[1], 1), inputs.dtype)
        count = np.sum(self.windows.pieces(ones, 0.0), axis=0)
        return sum(stack(self.windows.pieces(inputs, 0.0)), axis=0) / count


class _GlobalPooling1D(Layer):
    """Base of the layers that pool over the whole sequence."""

    one_input = True

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any) -> None:
        super().__init__(**options)
        check_format(type(self).__name__, data_format)
        self.keepdims, self.data_format = bool(keepdims), "channels_last"

    def check_input(self, inputs: Any) -> None:
        """Three axes, and at least one time step."""
        check_sequence(self.name, inputs)


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest element over time: (batch, time, features) → (batch, features).

    With `keepdims` (batch, 1, features). A mask is not looked at, as in Keras.

    >>> GlobalMaxPooling1D()(np.array([[[1.0], [3.0]]])).tolist()
    [[3.0]]
    """

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return max(inputs, axis=1, keepdims=self.keepdims)


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean over time, over the steps that the mask leaves: (batch, time, features) → (batch, features).

    With `keepdims` (batch, 1, features). A row without such a step gives 0 (Keras: NaN). The mask ends here.
    Raises `ValueError` for a mask that is not (batch, time).

    >>> GlobalAveragePooling1D()(np.array([[[1.0], [3.0]]])).tolist()
    [[2.0]]
    """

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Compute the outputs."""
        if mask is None:
            return mean(inputs, axis=1, keepdims=self.keepdims)
        valid = valid_steps(mask)
        if valid.shape != inputs.shape[:2]:
            raise ValueError(
                f"{self.name}: expected a mask of shape {inputs.shape[:2]}, received {valid.shape}"
            )
        valid = valid[..., None]
        count = _count(valid, self.keepdims, inputs.dtype)
        return sum(where(valid, inputs, 0.0), axis=1, keepdims=self.keepdims) / count


@followed
def _count(valid: Any, keepdims: bool, dtype: Any) -> Any:
    """The number of steps that count in each row; 1 if there is none."""
    return np.maximum(np.asarray(valid).sum(axis=1, keepdims=keepdims), 1).astype(dtype)


MaxPool1D = MaxPooling1D
AvgPool1D = AveragePooling1D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalAvgPool1D = GlobalAveragePooling1D
