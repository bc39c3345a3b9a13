"""`Cell` is what the built-in cells share; `StackedRNNCells` runs several as one. `RNN` runs them over time.

A cell computes one step. A built-in cell is cut in two: `project` does what needs the inputs only, for all
time steps at once, and `step` the rest. A user's cell has `call(inputs, states)` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import activations
from ..config import Scope, SeedGenerator, mode, switched
from ..core.tensor import Tensor
from ..ops import concatenate, split
from ..ops.random import dropout_mask
from .layer import Layer
from .symbolic import flatten, map_nested


class Cell(Layer):
    """Base of the built-in cells: `gates` blocks of `units` columns in every weight.

    Weights: `kernel (features, gates·units)`, `recurrent_kernel (units, gates·units)`, `bias`.
    Dropout (inverted, drawn once per sequence) acts on the inputs, recurrent dropout on the previous
    output; with recurrent dropout, or `implementation=1`, each gate has its own masks, as in Keras.
    """

    gates = 1
    state_size: Any  # an int, or a list with one for each state
    known_step = False  # set by classes whose step depends on attributes alone; not inherited

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        implementation: int = 2,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not isinstance(units, (int, np.integer)) or units < 1:
            raise ValueError(f"{type(self).__name__}: units must be a positive integer, received {units!r}")
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not 0 <= rate <= 1:
                raise ValueError(f"{type(self).__name__}: {name} must be in [0, 1], received {rate!r}")
        self.units = self.state_size = self.output_size = int(units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.initializers = (kernel_initializer, recurrent_initializer, bias_initializer)
        self.regularizers = (kernel_regularizer, recurrent_regularizer, bias_regularizer)
        self.constraints = (kernel_constraint, recurrent_constraint, bias_constraint)
        self.dropout, self.recurrent_dropout = float(dropout), float(recurrent_dropout)
        self.mask_per_gate = recurrent_dropout > 0 or implementation == 1
        self.seed_generator = SeedGenerator(seed)

    def known_activations(self) -> bool:
        """Whether the activations are functions of this package, which depend on nothing else."""
        found = [self.activation, getattr(self, "recurrent_activation", self.activation)]
        return all(str(getattr(f, "__module__", "")).startswith(__package__.split(".")[0]) for f in found)

    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias."""
        return (self.gates * self.units,)

    def build(self, input_shape: Any) -> None:
        """Create kernel, recurrent kernel and bias."""
        width = self.gates * self.units
        shapes = ((input_shape[-1], width), (self.units, width), self.bias_shape())
        names = ("kernel", "recurrent_kernel", "bias")
        made = [
            self.add_weight(s, initializer=i, regularizer=r, constraint=c, name=n)
            for s, i, r, c, n in zip(
                shapes, self.initializers, self.regularizers, self.constraints, names, strict=True
            )
            if n != "bias" or self.use_bias
        ]
        self.kernel, self.recurrent_kernel = made[:2]
        self.bias = made[2] if self.use_bias else None

    # --- one sequence: masks, projection, steps ------------------------------------------------------

    def prepare(self, batch: int, features: int) -> Any:
        """What is drawn once for a sequence: the dropout masks of inputs and previous outputs."""
        if not mode().training:
            return (None, None)
        return tuple(
            dropout_mask(
                (self.gates if self.mask_per_gate else 1, batch, size),
                rate,
                None,
                self.dtype,
                self.seed_generator,
            )
            if rate > 0
            else None
            for rate, size in ((self.dropout, features), (self.recurrent_dropout, self.units))
        )

    def share(self, masks: Any) -> Any:
        """What every step uses beside inputs and states: the masks, and parts of weights."""
        return masks

    def project(self, x: Any, constants: Any) -> Any:
        """`x @ kernel + bias`, for one step or for all steps of a sequence at once."""
        z = _masked_product(x, self.kernel, constants[0])
        return z if self.bias is None else z + self.input_bias()

    def input_bias(self) -> Any:
        """The part of the bias that is added to the projected inputs."""
        return self.bias

    def recur(self, h: Any, kernel: Any, constants: Any) -> Any:
        """`h @ kernel`, with the recurrent dropout."""
        return _masked_product(h, kernel, constants[1])

    def step(self, z: Any, states: Any, constants: Any) -> tuple[Any, Any]:
        """One time step from the projected inputs `z`."""
        raise TypeError(f"{type(self).__name__} has no step(); define step(self, z, states, constants)")

    def call(self, inputs: Any, states: Any) -> tuple[Any, Any]:
        """One time step: `(output, new states)`."""
        constants = self.share(self.prepare(*inputs.shape))
        return self.step(self.project(inputs, constants), list(flatten(states)), constants)


def _masked_product(x: Any, kernel: Any, mask: Tensor | None) -> Any:
    """`(x · mask) @ kernel`; several masks stand for the blocks of columns of the kernel."""
    if mask is None:
        return x @ kernel
    masks = [m.reshape(m.shape[0], *(1,) * (x.ndim - 2), m.shape[1]) for m in mask]
    if len(masks) == 1:
        return (x * masks[0]) @ kernel
    return concatenate([(x * m) @ k for m, k in zip(masks, split(kernel, len(masks), axis=1), strict=True)])


class StackedRNNCells(Layer):
    """Cells on top of one another, run as one: the output of each is the input of the next.

    States are a list with one entry per cell, each as the cell has it.
    """

    def __init__(self, cells: Sequence[Any], **options: Any) -> None:
        super().__init__(**options)
        if not cells:
            raise ValueError("StackedRNNCells: expected at least one cell")
        self.cells = [as_cell(c) for c in cells]

    @property
    def state_size(self) -> list[Any]:
        """The state sizes of the cells."""
        return [c.state_size for c in self.cells]

    @property
    def output_size(self) -> int:
        """Size of the last cell's output."""
        return int(_output_size(self.cells[-1]))

    def build(self, input_shape: Any) -> None:
        """Build the cells, each on the output of the one before."""
        for cell in self.cells:
            cell.build_at(f"{self.path}/{cell.name}", input_shape)
            input_shape = (*input_shape[:-1], _output_size(cell))

    def prepare(self, batch: int, features: int) -> list[Any]:
        """The dropout masks of every cell."""
        sizes = [features, *(_output_size(c) for c in self.cells[:-1])]
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
        for i, (cell, constant) in enumerate(zip(self.cells, constants, strict=True)):
            with switched(scope=Scope(f"{here.layer}/{cell.name}", here.t)):
                if i:
                    z = project(cell, z, constant)
                own = nest(remaining, cell.state_size)
                z, after = step_of(cell, z, own, constant)
            new.append(after)
        return z, new

    def call(self, inputs: Any, states: Any) -> tuple[Any, Any]:
        """One time step: `(output, new states)`."""
        constants = self.share(self.prepare(*inputs.shape))
        return self.step(self.project(inputs, constants), states, constants)


# --- any cell: a user's has only `call`, a built-in one is cut in two -----------------------------


def prepare(cell: Any, batch: int, features: int) -> Any:
    """What is drawn once for a sequence, for cells that draw something."""
    return cell.prepare(batch, features) if hasattr(cell, "prepare") else None


def share(cell: Any, masks: Any) -> Any:
    """What every step uses beside inputs and states, for cells that have something."""
    return cell.share(masks) if hasattr(cell, "share") else masks


def project(cell: Any, x: Any, constants: Any) -> Any:
    """The part of a cell that needs the inputs only; `x` itself for a user's cell."""
    return cell.project(x, constants) if hasattr(cell, "project") else x


def step_of(cell: Any, z: Any, states: Any, constants: Any) -> tuple[Any, Any]:
    """One time step of any cell, on what `project` gave."""
    if hasattr(cell, "project"):
        output, new = cell.step(z, list(flatten(states)) if isinstance(cell, Cell) else states, constants)
    else:
        training = {"training": mode().training} if "training" in cell._call_arguments() else {}
        made = cell.call(z, states, **training)
        if not isinstance(made, (tuple, list)) or len(made) != 2:
            raise TypeError(
                f"{cell.name}: call(inputs, states) must return (output, new_states), received {type(made).__name__}"
            )
        output, new = made
    return output, new


def as_cell(cell: Any) -> Any:
    """A cell, a list of cells, or an error that says what a cell is."""
    if isinstance(cell, (list, tuple)):
        return StackedRNNCells(cell)
    if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
        raise ValueError(
            "RNN: expected a cell, a Layer with `state_size` and `call(inputs, states) -> (output, new_states)`; "
            f"received {cell!r}"
        )
    return cell


def _output_size(cell: Any) -> Any:
    size = getattr(cell, "output_size", None)
    return next(flatten(cell.state_size)) if size is None else size


def nest(states: list[Any], size: Any) -> Any:
    """Take as many states off the list as `size` has entries, nested in the same way."""
    return map_nested(lambda _: states.pop(0), list(size) if isinstance(size, (list, tuple)) else [size])
