"""`StackedRNNCells` runs several cells as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config import Scope, mode, switched
from .cell import initial_state, nest, output_size, prepare, project, share, step_of
from .layer import Layer
from .recurrent import Recurrent
from .symbolic import flatten


class StackedRNNCells(Layer):
    """Cells on top of one another, run as one: the output of each is the input of the next.

    States are a list with one entry per cell, each as the cell has it.

    >>> import numpy as np
    >>> from tinygrad_rnn.layers import RNN, GRUCell, LSTMCell
    >>> RNN(StackedRNNCells([LSTMCell(3), GRUCell(2)]))(np.ones((4, 5, 1), np.float32)).shape
    (4, 2)
    """

    cut = True  # False for subclasses with their own `call`, which are run by that

    def __init_subclass__(cls) -> None:
        """See whether `call` is still this one."""
        cls.cut = cls.call is StackedRNNCells.call

    def __init__(self, cells: Sequence[Any], **options: Any) -> None:
        if not cells:
            raise ValueError("StackedRNNCells: expected at least one cell")
        made = [as_cell(c) for c in cells]
        super().__init__(**{"dtype": made[0].dtype, **options})
        self.cells = made

    @property
    def state_size(self) -> list[Any]:
        """The state sizes of the cells."""
        return [c.state_size for c in self.cells]

    @property
    def output_size(self) -> int:
        """Size of the last cell's output."""
        return int(output_size(self.cells[-1]))

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """The initial states of every cell."""
        return [initial_state(c, batch_size) for c in self.cells]

    def build(self, input_shape: Any) -> None:
        """Build the cells, each on the output of the one before."""
        for cell in self.cells:
            cell.build_at(f"{self.path}/{cell.name}", input_shape)
            input_shape = (*input_shape[:-1], output_size(cell))

    def prepare(self, batch: int, features: int) -> list[Any]:
        """The dropout masks of every cell."""
        sizes = [features, *(output_size(c) for c in self.cells[:-1])]
        return [prepare(c, batch, n) for c, n in zip(self.cells, sizes, strict=True)]

    def share(self, masks: Any) -> list[Any]:
        """What the steps of every cell use."""
        return [share(c, m) for c, m in zip(self.cells, masks, strict=True)]

    def project(self, x: Any, constants: Any) -> Any:
        """The first cell's projection; those above have to wait for its output."""
        return project(self.cells[0], x, constants[0])

    def step(self, z: Any, states: Any, constants: Any) -> tuple[Any, Any]:
        """One time step through all cells."""
        remaining = list(flatten(states))
        new = []
        here = mode().scope
        inside = here.layer.rpartition("/")[2] == self.name  # called as a layer, which has said so
        path = here.layer if inside else f"{here.layer}/{self.name}"
        for i, (cell, constant) in enumerate(zip(self.cells, constants, strict=True)):
            with switched(scope=Scope(f"{path}/{cell.name}", here.t)):
                if i:
                    z = project(cell, z, constant)
                own = nest(remaining, cell.state_size)
                z, after = step_of(cell, z, own, constant)
            new.append(after)
        return z, new

    def call(self, inputs: Any, states: Any, training: bool | None = None) -> tuple[Any, Any]:
        """One time step: `(output, new states)`."""
        with switched(training=mode().training if training is None else bool(training)):
            constants = self.share(self.prepare(*inputs.shape))
        return self.step(self.project(inputs, constants), states, constants)


def as_cell(cell: Any) -> Any:
    """A cell, a list of cells, or an error that says what a cell is."""
    if isinstance(cell, (list, tuple)):
        return StackedRNNCells(cell)
    if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
        raise ValueError(
            "RNN: expected a cell, a Layer with `state_size` and `call(inputs, states) -> (output, new_states)`; "
            f"received {cell!r}"
        )
    if isinstance(cell, Recurrent):
        raise ValueError(
            f"RNN: expected a cell, which computes one step; {type(cell).__name__} runs its own over time. "
            "Give a cell, such as LSTMCell, or put layers one after the other"
        )
    if isinstance(cell.state_size, dict):
        raise ValueError(
            f"{cell.name}: state_size must be an int or a list with one for each state, received {cell.state_size!r}"
        )
    return cell
