"""GRU: gated recurrent unit, blocks in Keras's order z, r, h; the reset gate before or after the product."""

from __future__ import annotations

from typing import Any

from .. import activations
from ..ops import split
from .arguments import in_order
from .cell import Cell
from .cell_rnn import CellRNN


class GRUCell(Cell):
    """One step of `GRU` (Cho et al. 2014), σ being the recurrent activation:

        z = σ(x Wz + h Uz + bz)        update gate: how much of the old state stays
        r = σ(x Wr + h Ur + br)        reset gate
        n = tanh(x Wh + bh + r · (h Uh + b'h))      reset_after=True, Keras's default
        n = tanh(x Wh + bh + (r · h) Uh)            reset_after=False
        h' = z · h + (1 − z) · n

    Weights: kernel (features, 3·units), recurrent_kernel (units, 3·units), bias (2, 3·units) with
    `reset_after` (row 0 for the inputs, row 1 for the recurrence), else (3·units,). State: h.

    >>> import numpy as np
    >>> h, _ = GRUCell(3)(np.ones((2, 4), np.float32), [np.zeros((2, 3), np.float32)])
    >>> h.shape
    (2, 3)
    """

    gates = 3

    @in_order(
        "units activation recurrent_activation use_bias kernel_initializer recurrent_initializer bias_initializer "
        "kernel_regularizer recurrent_regularizer bias_regularizer kernel_constraint recurrent_constraint "
        "bias_constraint dropout recurrent_dropout reset_after seed"
    )
    def __init__(
        self, *, recurrent_activation: Any = "sigmoid", reset_after: bool = True, **options: Any
    ) -> None:
        super().__init__(**options)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = bool(reset_after)

    def bias_shape(self) -> tuple[int, ...]:
        """(2, 3·units) with `reset_after`, else (3·units,)."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def input_bias(self) -> Any:
        """Row 0 of the bias, or all of it."""
        return self.bias[0] if self.reset_after else self.bias  # type: ignore[index]

    def share(self, masks: Any) -> Any:
        """The dropout masks, and the parts of weights that every step uses."""
        if self.reset_after:
            return (*masks, None if self.bias is None else self.bias[1])
        return (*masks, split(self.recurrent_kernel, [2 * self.units], axis=1))

    def step(self, z: Any, states: Any, constants: Any) -> tuple[Any, Any]:
        """`z` is `x W + b`."""
        return (self._reset_after if self.reset_after else self._reset_before)(z, states[0], constants)

    def _reset_after(self, x: Any, h: Any, constants: Any) -> tuple[Any, Any]:
        bias = constants[2]
        u = self.recur(h, self.recurrent_kernel, constants)
        u = u if bias is None else u + bias
        x_gates, x_new = split(x, [2 * self.units], axis=1)
        u_gates, u_new = split(u, [2 * self.units], axis=1)
        z, r = split(self.recurrent_activation(x_gates + u_gates), 2, axis=1)
        n = self.activation(x_new + r * u_new)
        h = z * h + (1.0 - z) * n
        return h, [h]

    def _reset_before(self, x: Any, h: Any, constants: Any) -> tuple[Any, Any]:
        masks, (kernel_gates, kernel_new) = constants[1], constants[2]
        gate_masks, new_masks = (masks, masks) if masks is None or len(masks) == 1 else split(masks, [2])
        x_gates, x_new = split(x, [2 * self.units], axis=1)
        u_gates = self.recur(h, kernel_gates, (None, gate_masks))
        z, r = split(self.recurrent_activation(x_gates + u_gates), 2, axis=1)
        n = self.activation(x_new + self.recur(r * h, kernel_new, (None, new_masks)))
        h = z * h + (1.0 - z) * n
        return h, [h]


class GRU(CellRNN):
    """Gated recurrent unit layer; `GRUCell` has the equations, `RNN` the sequence arguments.

    >>> import numpy as np
    >>> GRU(3, return_sequences=True)(np.ones((2, 5, 4), np.float32)).shape
    (2, 5, 3)
    """

    cell_class = GRUCell

    @in_order(
        "units activation recurrent_activation use_bias kernel_initializer recurrent_initializer bias_initializer "
        "kernel_regularizer recurrent_regularizer bias_regularizer activity_regularizer kernel_constraint "
        "recurrent_constraint bias_constraint dropout recurrent_dropout seed return_sequences return_state "
        "go_backwards stateful unroll reset_after use_cudnn"
    )
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
