"""LSTM: long short-term memory, four gates in Keras's order i, f, c, o."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import activations, initializers
from ..ops import split
from .arguments import in_order
from .cell import Cell
from .cell_rnn import CellRNN


class LSTMCell(Cell):
    """One step of `LSTM` (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    With `z = x W + b + h U` cut into the blocks i, f, g, o and σ the recurrent activation:

        c' = σ(f) · c + σ(i) · tanh(g)
        h' = σ(o) · tanh(c')

    Weights: kernel W (features, 4·units), recurrent_kernel U (units, 4·units), bias b (4·units,), whose
    block f starts at 1 with `unit_forget_bias`. States: h, c, each (batch, units).

    >>> h, (h2, c) = LSTMCell(3)(np.ones((2, 4), np.float32), [np.zeros((2, 3), np.float32)] * 2)
    >>> h.shape, c.shape
    ((2, 3), (2, 3))
    """

    gates = 4
    state_names = ("h", "c")

    @in_order(
        "units activation recurrent_activation use_bias kernel_initializer recurrent_initializer bias_initializer "
        "unit_forget_bias kernel_regularizer recurrent_regularizer bias_regularizer kernel_constraint "
        "recurrent_constraint bias_constraint dropout recurrent_dropout seed"
    )
    def __init__(
        self,
        *,
        recurrent_activation: Any = "sigmoid",
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)
        self.state_size = [self.units, self.units]

    def bias_options(self) -> dict[str, Any]:
        """What `add_weight` is told of the bias: with `unit_forget_bias` its forget block starts at 1."""
        options = super().bias_options()
        if self.unit_forget_bias:
            options["initializer"] = ForgetBias(options["initializer"])
        return options

    def step(self, z: Any, states: Any, constants: Any) -> tuple[Any, Any]:
        """`z` is `x W + b`."""
        h, c = states
        i, f, g, o = split(z + self.recur(h, self.recurrent_kernel, constants), 4, axis=1)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        h = self.recurrent_activation(o) * self.activation(c)
        return h, [h, c]


class ForgetBias:
    """Initializer of the LSTM bias: ones in the block of the forget gate, `rest` elsewhere."""

    def __init__(self, rest: Any) -> None:
        self.rest = initializers.get(rest)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Values of the bias of length 4·units."""
        values = np.array(self.rest(shape, dtype))
        units = shape[0] // 4
        values[units : 2 * units] = 1
        return values


class LSTM(CellRNN):
    """Long short-term memory layer; `LSTMCell` has the equations, `RNN` the sequence arguments.

    >>> LSTM(3)(np.ones((2, 5, 4), np.float32)).shape
    (2, 3)
    """

    cell_class = LSTMCell

    @in_order(
        "units activation recurrent_activation use_bias kernel_initializer recurrent_initializer bias_initializer "
        "unit_forget_bias kernel_regularizer recurrent_regularizer bias_regularizer activity_regularizer "
        "kernel_constraint recurrent_constraint bias_constraint dropout recurrent_dropout seed return_sequences "
        "return_state go_backwards stateful unroll use_cudnn"
    )
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
