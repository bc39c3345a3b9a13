"""`CellRNN`: an `RNN` over one of the built-in cells, under one name and with one list of arguments."""

from __future__ import annotations

from typing import Any

from ..utils.registry import parameters, snake_case
from .arguments import complete_signature
from .cell import Cell
from .layer import Layer
from .rnn import RNN


class CellRNN(RNN):
    """Base of SimpleRNN, LSTM and GRU: `RNN(cell_class(units, ...), ...)`.

    Arguments are those of the cell, of `RNN` and of `Layer`. `use_cudnn` and `unroll` have no effect: the
    numbers are the same with and without. The cell's attributes (`units`, `kernel`, `recurrent_kernel`,
    `bias`, ...) can be read from the layer.
    """

    cell_class: type[Cell]

    def __init_subclass__(cls) -> None:
        """Complete the signature of the constructor: the arguments of the cell, of RNN and of Layer."""
        complete_signature(cls, cls.cell_class)

    def __init__(self, *, use_cudnn: Any = "auto", **given: Any) -> None:
        general = parameters(Layer)
        of_cell = [name for name in parameters(self.cell_class) if name not in general]
        shared = ("dtype", "trainable")
        cell = self.cell_class(
            **{k: v for k, v in given.items() if k in of_cell or k in shared},
            name=snake_case(self.cell_class.__name__),
        )
        super().__init__(cell, **{k: v for k, v in given.items() if k not in of_cell})
        self.use_cudnn = use_cudnn

    def __getattr__(self, name: str) -> Any:
        """Read what the cell has: `layer.kernel`, `layer.units`."""
        if name.startswith("_") or "cell" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(vars(self)["cell"], name)
