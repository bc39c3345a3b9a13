"""Dense, Activation, Identity, Lambda, Masking and TimeDistributed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import activations
from ..bptt.masked import valid_steps
from ..config import mode
from ..core.record import followed
from ..ops import reshape, softmax, stack, where
from .arguments import keep_options, switches_training, weight_options
from .layer import Layer


class Dense(Layer):
    """`y = activation(x W + b)` on the last axis: (batch, ..., features) → (batch, ..., units).

    Weights: `kernel` W (features, units) and, with `use_bias`, `bias` b (units,).

    >>> Dense(3)(np.ones((2, 4), np.float32)).shape
    (2, 3)
    """

    supports_masking = True
    one_input = True

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
        lora_rank: Any = None,
        lora_alpha: Any = None,
        quantization_config: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        refuse(self, lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        if not isinstance(units, (int, np.integer)) or units < 1:
            raise ValueError(f"Dense: units must be a positive integer, received {units!r}")
        self.units = int(units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        keep_options(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        keep_options(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Any) -> None:
        """Create kernel (features, units) and bias (units,)."""
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ValueError(
                f"{self.name}: expected inputs (batch, ..., features), received shape {input_shape}"
            )
        warn_of_one(self, self.units)
        self.kernel = self.add_weight(
            (input_shape[-1], self.units), name="kernel", **weight_options(self, "kernel")
        )
        self.bias = (
            self.add_weight((self.units,), name="bias", **weight_options(self, "bias"))
            if self.use_bias
            else None
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

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the outputs."""
        y = inputs @ self.kernel
        return self.activation(y if self.bias is None else y + self.bias)


def warn_of_one(layer: Any, features: int | None) -> None:
    """Warn, as Keras does, of a softmax over one feature."""
    if features == 1 and layer.activation is softmax:
        layer._warn_once(
            f"{layer.name}: a softmax over one feature is always 1, and nothing in front of it is trained; use "
            "sigmoid, or one unit per class"
        )


class Activation(Layer):
    """Apply an activation function, given by name or as a function.

    >>> Activation("relu")(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    supports_masking = True
    one_input = True

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def check_input(self, inputs: Any) -> None:
        """All are taken; a softmax over one feature is warned of."""
        if self.activation is softmax and np.shape(inputs)[-1:] == (1,):
            warn_of_one(self, 1)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return self.activation(inputs)


class Identity(Layer):
    """Hand the inputs on as they are.

    >>> Identity()(np.array([1.0])).tolist()
    [1.0]
    """

    supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The inputs."""
        return inputs


class Lambda(Layer):
    """A function as a layer: `function(inputs, **arguments)`.

    `function` also gets `mask` and `training` if it has arguments of these names. The mask of the output is
    `mask`: none, an array, or what `mask(inputs, mask)` gives. Shapes are found by calling `function`, so that
    `output_shape` is not needed; it is accepted as in Keras. A model with an anonymous function (`lambda`)
    cannot be saved: a file never holds code.

    >>> Lambda(lambda x, by: x * by, arguments={"by": 2.0})(np.array([1.0, 3.0])).tolist()
    [2.0, 6.0]
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not callable(function):
            raise TypeError(f"Lambda: expected a function, received {function!r}")
        self.function, self.mask = function, mask
        self.function_arguments = dict(arguments or {})
        try:
            self._wanted = frozenset({"mask", "training"} & inspect.signature(function).parameters.keys())
        except ValueError:  # functions written in C may have no signature
            self._wanted = frozenset()

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        """Compute the outputs."""
        given = {"mask": mask, "training": training}
        return self.function(inputs, **self.function_arguments, **{k: given[k] for k in self._wanted})

    def _drops_masks(self) -> bool:
        return self.mask is None and "mask" not in self._wanted

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """What the argument `mask` says."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask


class Masking(Layer):
    """Skip the time steps whose features all equal `mask_value`.

    The layers behind get the mask `any(x != mask_value, axis=-1)`; skipped steps become 0. With NaN, steps without any
    number are skipped (in Keras none are, as NaN equals nothing).

    >>> Masking(9.0)(np.array([[[1.0, 9.0], [9.0, 9.0]]])).tolist()
    [[[1.0, 9.0], [0.0, 0.0]]]
    """

    supports_masking = True
    one_input = True

    def __init__(self, mask_value: Any = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def check_input(self, inputs: Any) -> None:
        """At least two axes."""
        if inputs.ndim < 2:
            raise ValueError(
                f"{self.name}: expected inputs (batch, time, features), received shape {inputs.shape}"
            )

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return where(self.compute_mask(inputs)[..., None], inputs, 0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where a step counts."""
        return _unequal(inputs, self.mask_value)


@followed
def _unequal(x: Any, value: Any) -> Any:
    """Where any feature is not `value`, which may be NaN."""
    array = np.asarray(x)
    return np.any(array != value if value == value else array == array, axis=-1)


class TimeDistributed(Layer):
    """Apply a layer to every time step of (batch, time, ...) on its own, with the same weights.

    Time is folded into the batch. A layer that keeps statistics of its batches (BatchNormalization) is
    called step after step while training, as in Keras. A mask (batch, time) goes on to the output; one with
    more axes is also that of the layer's inputs.

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

    def check_input(self, inputs: Any) -> None:
        """At least three axes."""
        if isinstance(inputs, (list, tuple, dict)) or inputs.ndim < 3:
            received = f"shape {inputs.shape}" if hasattr(inputs, "shape") else type(inputs).__name__
            raise ValueError(f"{self.name}: expected inputs (batch, time, ...), received {received}")

    def build(self, input_shape: Any) -> None:
        """Build the layer on the shape of one step."""
        self.layer.build_at(f"{self.path}/{self.layer.name}", (None, *input_shape[2:]))

    @switches_training
    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Fold time into the batch, call the layer, unfold."""
        batch, time = inputs.shape[:2]
        if mask is not None and np.shape(mask)[:2] != (batch, time):
            raise ValueError(
                f"{self.name}: expected a mask of shape ({batch}, {time}, ...), received {np.shape(mask)}"
            )
        rows = inputs.ndim == 3 and "mask" in self.layer._call_arguments()  # a row of the batch counts or not
        inner = valid_steps(mask) if mask is not None and (np.ndim(mask) > 2 or rows) else None
        if mode().training and self.layer.non_trainable_weights:
            steps = [(inputs[:, t], None if inner is None else inner[:, t]) for t in range(time)]
            return stack([self._inside(x, m) for x, m in steps], axis=1)
        y = self._inside(*(None if v is None else _fold(v) for v in (inputs, inner)))
        return reshape(y, (batch, time, *y.shape[1:]))

    def _inside(self, x: Any, mask: Any) -> Any:
        x._mask = mask
        return self.layer(x)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask (batch, time); a step with a mask of its own counts if any part of it does.

        That is so where the layer ends its mask, as an RNN that returns its last output does.
        """
        if mask is None or np.ndim(mask) == 2:
            return mask
        mask = np.asarray(mask)
        inner = self.layer.compute_mask(inputs, mask.reshape(-1, *mask.shape[2:]))
        return mask.any(axis=tuple(range(2, mask.ndim))) if inner is None else mask


def _fold(x: Any) -> Any:
    """(batch, time, ...) → (batch · time, ...)."""
    return reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def refuse(layer: Layer, **options: Any) -> None:
    """Raise `ValueError` for an argument of Keras that is given but not supported here."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{type(layer).__name__}: {name} is not supported, received {value!r}")
