"""Activation functions as layers: ReLU, LeakyReLU, ELU, PReLU and Softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import relu
from ..ops import elu, leaky_relu, softmax, where
from ..warn import warn
from .arguments import keep_options, weight_options
from .layer import Layer


class ReLU(Layer):
    """x from `threshold` up to `max_value`, `negative_slope · (x − threshold)` below.

    >>> ReLU(max_value=6.0)(np.array([-1.0, 2.0, 9.0])).tolist()
    [0.0, 2.0, 6.0]
    """

    supports_masking = True
    one_input = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.max_value = None if max_value is None else _not_negative("ReLU", "max_value", max_value)
        self.negative_slope = _not_negative("ReLU", "negative_slope", negative_slope)
        self.threshold = _not_negative("ReLU", "threshold", threshold)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """x for x > 0, `negative_slope · x` below. `alpha` is Keras 2's name of `negative_slope`.

    >>> LeakyReLU()(np.array([-10.0, 2.0])).tolist()
    [-3.0, 2.0]
    """

    supports_masking = True
    one_input = True

    unlisted = Layer.unlisted | {"alpha"}

    def __init__(self, negative_slope: float = 0.3, *, alpha: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        if alpha is not None:
            warn("LeakyReLU: alpha is Keras 2's name; write negative_slope")
            negative_slope = self.arguments["negative_slope"] = self.arguments.pop("alpha")
        self.negative_slope = _not_negative("LeakyReLU", "negative_slope", negative_slope)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return leaky_relu(inputs, self.negative_slope)


class ELU(Layer):
    """x for x > 0, `alpha (eˣ − 1)` below (Clevert et al. 2016).

    >>> float(ELU()(np.array([-1.0]))[0])
    -0.632...
    """

    supports_masking = True
    one_input = True

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.alpha = float(alpha)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return elu(inputs, self.alpha)


class PReLU(Layer):
    """x for x > 0, `alpha · x` below, with a trainable `alpha` for every element (He et al. 2015).

    Weight: `alpha`, of the shape of one input; along `shared_axes` (1 is the first behind the batch) one
    value serves the whole axis.

    >>> PReLU(alpha_initializer="ones")(np.array([[-1.0, 2.0]])).tolist()
    [[-1.0, 2.0]]
    """

    supports_masking = True
    one_input = True

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        keep_options(self, "alpha", alpha_initializer, alpha_regularizer, alpha_constraint)
        self.shared_axes = [] if shared_axes is None else [int(a) for a in np.atleast_1d(shared_axes)]

    def build(self, input_shape: Any) -> None:
        """Create alpha."""
        wrong = [a for a in self.shared_axes if not 1 <= a < len(input_shape)]
        if wrong:
            raise ValueError(
                f"{self.name}: shared_axes {wrong} are not among the axes 1..{len(input_shape) - 1} "
                f"of inputs of shape {input_shape}"
            )
        shape = [1 if i in self.shared_axes else n for i, n in enumerate(input_shape)][1:]
        if None in shape:
            raise ValueError(
                f"{self.name}: alpha needs a known length of every axis, received shape {input_shape}; "
                f"name the unknown axes in shared_axes"
            )
        self.alpha = self.add_weight(shape, name="alpha", **weight_options(self, "alpha"))

    def check_input(self, inputs: Any) -> None:
        """The shape that the layer was built for."""
        if self.built and (
            inputs.ndim != self.alpha.ndim + 1
            or any(n not in (1, m) for n, m in zip(self.alpha.shape, inputs.shape[1:], strict=True))
        ):
            raise ValueError(
                f"{self.name}: expected inputs (batch, ...) that fit alpha of shape {self.alpha.shape}, "
                f"received shape {inputs.shape}"
            )

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return relu(inputs) - self.alpha * relu(-inputs)


class Softmax(Layer):
    """Positive numbers that sum to 1 along `axis` (one, or several).

    Where a `mask` (broadcast against the inputs) is False the result is 0; the rest sums to 1.

    >>> Softmax()(np.zeros((1, 2)), mask=np.array([True, False])).tolist()
    [[1.0, 0.0]]
    """

    supports_masking = True
    one_input = True

    def __init__(self, axis: Any = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Compute the outputs."""
        if mask is not None:
            keep = np.asarray(mask) > 0.5
            try:
                keep = np.broadcast_to(keep, inputs.shape)
            except ValueError:
                raise ValueError(
                    f"{self.name}: expected a mask that broadcasts to the inputs {inputs.shape}, "
                    f"received shape {keep.shape}"
                ) from None
            inputs = where(keep, inputs, -3e4 if inputs.dtype == np.float16 else -1e9)
        y = softmax(inputs, self.axis)
        return y if mask is None else where(keep, y, 0.0)


def _not_negative(layer: str, name: str, value: Any) -> float:
    if value is None or value < 0:
        raise ValueError(f"{layer}: {name} must not be negative, received {value!r}")
    return float(value)
