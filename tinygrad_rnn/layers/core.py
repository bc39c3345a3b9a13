"""Dense, Activation, Dropout, Flatten, Reshape and TimeDistributed."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import activations
from ..config import SeedGenerator, mode
from ..ops import dropout, reshape
from .layer import Layer


class Dense(Layer):
    """`y = activation(x W + b)` on the last axis: (..., features) → (..., units).

    >>> Dense(3)(np.ones((2, 4), np.float32)).shape
    (2, 3)
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
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
        if not isinstance(units, (int, np.integer)) or units < 1:
            raise ValueError(f"Dense: units must be a positive integer, received {units!r}")
        self.units = int(units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_options = {
            "initializer": kernel_initializer,
            "regularizer": kernel_regularizer,
            "constraint": kernel_constraint,
        }
        self.bias_options = {
            "initializer": bias_initializer,
            "regularizer": bias_regularizer,
            "constraint": bias_constraint,
        }

    def build(self, input_shape: Any) -> None:
        """Create kernel (features, units) and bias (units,)."""
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ValueError(
                f"{self.name}: expected inputs (batch, ..., features), received shape {input_shape}"
            )
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel", **self.kernel_options)
        self.bias = (
            self.add_weight((self.units,), name="bias", **self.bias_options) if self.use_bias else None
        )

    def check_input(self, inputs: Any) -> None:
        """At least two axes, and the number of features that the layer was built for."""
        if inputs.ndim < 2:
            raise ValueError(
                f"{self.name}: expected inputs (batch, ..., features), received shape {inputs.shape}"
            )
        if self.built and inputs.shape[-1] != self.kernel.shape[0]:
            raise ValueError(
                f"{self.name}: expected {self.kernel.shape[0]} features on the last axis, received shape {inputs.shape}"
            )

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        y = inputs @ self.kernel
        return self.activation(y if self.bias is None else y + self.bias)


class Activation(Layer):
    """Apply an activation function, given by name or as a function.

    >>> Activation("relu")(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    supports_masking = True

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return self.activation(inputs)


class Dropout(Layer):
    """Set a share `rate` of the inputs to 0 while training and divide the rest by 1 − rate.

    Srivastava et al. 2014, in the inverted form.

    >>> Dropout(0.5)(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    supports_masking = True

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= rate <= 1:
            raise ValueError(f"Dropout: rate must be in [0, 1], received {rate!r}")
        self.rate, self.noise_shape = float(rate), noise_shape
        self.seed_generator = SeedGenerator(seed)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        if not mode().training or self.rate == 0:
            return inputs
        return dropout(inputs, self.rate, self.noise_shape, self.seed_generator)


class Flatten(Layer):
    """All axes but the first in one: (batch, a, b) → (batch, a·b).

    >>> Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return reshape(inputs, (inputs.shape[0], int(np.prod(inputs.shape[1:]))))


class Reshape(Layer):
    """The same elements in `target_shape` (without the batch axis; one entry may be −1).

    >>> Reshape((2, -1))(np.ones((3, 8))).shape
    (3, 2, 4)
    """

    def __init__(self, target_shape: Any, **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return reshape(inputs, (inputs.shape[0], *self.target_shape))


class TimeDistributed(Layer):
    """Apply a layer to every time step of (batch, time, ...) on its own.

    A mask (batch, time, ...) reaches the layer without its time axis, and (batch, time) goes on.

    >>> TimeDistributed(Dense(3))(np.ones((2, 5, 4))).shape
    (2, 5, 3)
    """

    supports_masking = True
    autocast = False

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise ValueError(f"TimeDistributed: expected a layer, received {layer!r}")
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        """Build the layer on the shape of one step."""
        if len(input_shape) < 3:
            raise ValueError(f"{self.name}: expected inputs (batch, time, ...), received shape {input_shape}")
        self.layer.build_at(f"{self.path}/{self.layer.name}", (None, *input_shape[2:]))

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Fold time into the batch, call the layer, unfold."""
        batch, time = inputs.shape[:2]
        options = {}
        if mask is not None:
            mask = np.asarray(mask)
            if mask.shape[:2] != (batch, time):
                raise ValueError(
                    f"{self.name}: expected a mask that begins with {(batch, time)}, received {mask.shape}"
                )
            if "mask" in self.layer._call_arguments() and (mask.ndim > 2 or inputs.ndim == 3):
                options = {"mask": mask.reshape(batch * time, *mask.shape[2:])}
        y = self.layer(reshape(inputs, (batch * time, *inputs.shape[2:])), **options)
        return reshape(y, (batch, time, *y.shape[1:]))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask (batch, time); a step with a mask of its own counts if any part of it does.

        That is so where the layer ends its mask, as an RNN that returns its last output does.
        """
        if mask is None or np.ndim(mask) == 2:
            return mask
        mask = np.asarray(mask)
        inner = self.layer.compute_mask(inputs, mask.reshape(-1, *mask.shape[2:]))
        return mask.any(axis=tuple(range(2, mask.ndim))) if inner is None else mask
