"""SimpleRNN: the fully connected recurrence `h' = tanh(x W + h U + b)`."""

from __future__ import annotations

from typing import Any

from .arguments import in_order
from .cell import Cell
from .cell_rnn import CellRNN


class SimpleRNNCell(Cell):
    """One step of `SimpleRNN`: `h' = activation(x W + b + h U)` (Elman 1990).

    Weights: kernel W (features, units), recurrent_kernel U (units, units), bias b (units,). State: h.

    >>> import numpy as np
    >>> h, (state,) = SimpleRNNCell(3)(np.ones((2, 4), np.float32), [np.zeros((2, 3), np.float32)])
    >>> h.shape
    (2, 3)
    """

    def step(self, z: Any, states: Any, constants: Any) -> tuple[Any, Any]:
        """`z` is `x W + b`."""
        (h,) = states
        h = self.activation(z + self.recur(h, self.recurrent_kernel, constants))
        return h, [h]


class SimpleRNN(CellRNN):
    """Fully connected recurrent layer; `SimpleRNNCell` has the equation, `RNN` the sequence arguments.

    >>> import numpy as np
    >>> SimpleRNN(3, return_sequences=True)(np.ones((2, 5, 4), np.float32)).shape
    (2, 5, 3)
    """

    cell_class = SimpleRNNCell

    @in_order(
        "units activation use_bias kernel_initializer recurrent_initializer bias_initializer kernel_regularizer "
        "recurrent_regularizer bias_regularizer activity_regularizer kernel_constraint recurrent_constraint "
        "bias_constraint dropout recurrent_dropout return_sequences return_state go_backwards stateful unroll seed"
    )
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
