"""Conv1D: a dense layer on a window that moves over the sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import activations
from ..ops import concatenate, reshape, split
from .arguments import keep_options, weight_options
from .layer import Layer
from .windows import Windows


class Conv1D(Layer):
    """`y[t] = activation(Σ_k x[t · strides + k · dilation_rate] W[k] + b)`: (batch, time, in) → (batch, t, filters).

    The kernel is (kernel_size, in / groups, filters) and is not flipped (cross-correlation). `padding`:
    "valid" (none), "same" (⌈time / strides⌉ outputs) or "causal" (y[t] sees nothing behind t). With `groups`
    the features are cut into as many parts, each of which makes filters / groups of the outputs. A mask ends
    here. Raises `ValueError` for `channels_first`, for sequences that are shorter than the window, and for
    another number of features than at first.

    >>> Conv1D(4, 3)(np.ones((2, 8, 5), np.float32)).shape
    (2, 6, 4)
    """

    one_input = True

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        for what, number in (("filters", filters), ("groups", groups)):
            if not isinstance(number, (int, np.integer)) or number < 1:
                raise ValueError(f"Conv1D: {what} must be a positive integer, received {number!r}")
        if filters % groups:
            raise ValueError(f"Conv1D: {groups} groups do not divide {filters} filters")
        self.filters, self.groups, self.use_bias = int(filters), int(groups), bool(use_bias)
        self.windows = Windows("Conv1D", kernel_size, strides, padding, dilation_rate, data_format)
        self.kernel_size, self.strides = (self.windows.size,), (self.windows.stride,)
        self.padding, self.dilation_rate = self.windows.padding, (self.windows.dilation,)
        self.data_format = "channels_last"
        self.activation = activations.get(activation)
        keep_options(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        keep_options(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Any) -> None:
        """Create kernel (kernel_size, in / groups, filters) and bias (filters,)."""
        if len(input_shape) != 3 or input_shape[2] is None or input_shape[2] % self.groups:
            raise ValueError(
                f"{self.name}: expected inputs (batch, time, features) with features that {self.groups} groups "
                f"divide, received shape {input_shape}"
            )
        self._features = input_shape[2]
        shape = (self.windows.size, self._features // self.groups, self.filters)
        self.kernel = self.add_weight(shape, name="kernel", **weight_options(self, "kernel"))
        self.bias = (
            self.add_weight((self.filters,), name="bias", **weight_options(self, "bias"))
            if self.use_bias
            else None
        )

    def check_input(self, inputs: Any) -> None:
        """Three axes, at least one window, and the number of features that the layer was built for."""
        self.windows.check(self.name, inputs)
        if self.built and inputs.shape[2] != self._features:
            raise ValueError(
                f"{self.name}: expected {self._features} features, received shape {inputs.shape}"
            )

    def call(self, inputs: Any) -> Any:
        """Lay the steps of each window side by side, and multiply with the kernel as a matrix."""
        pieces = self.windows.pieces(inputs, 0.0)
        parts = zip(*[split(piece, self.groups, axis=-1) for piece in pieces], strict=True)
        kernels = split(self.kernel, self.groups, axis=-1)
        y = concatenate(
            [
                concatenate(part, axis=-1) @ reshape(kernel, (-1, kernel.shape[-1]))
                for part, kernel in zip(parts, kernels, strict=True)
            ],
            axis=-1,
        )
        return self.activation(y if self.bias is None else y + self.bias)


Convolution1D = Conv1D
