"""`Cell` is what the built-in cells share, and how any cell is used. `RNN` runs them over time.

A cell computes one step. A built-in cell is cut in two: `project` does what needs the inputs only, for all
time steps at once, and `step` the rest. A user's cell has `call(inputs, states)` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import activations
from ..config import SeedGenerator, mode, switched
from ..core.tensor import Tensor
from ..ops import concatenate, split
from ..ops.random import dropout_mask
from .arguments import complete_signature, in_order, keep_options, weight_options
from .layer import Layer
from .symbolic import flatten, map_nested

NO_MASKS = (None, None)  # no dropout
# While `RNN` runs a subclass's own `call`: the dropout masks of the sequence, by the cell's identity.
_held_masks: ContextVar[Mapping[int, Any]] = ContextVar("held_masks", default=MappingProxyType({}))


class Cell(Layer):
    """Base of the built-in cells: `gates` blocks of `units` columns in every weight.

    Weights: `kernel (features, gates·units)`, `recurrent_kernel (units, gates·units)`, `bias`.
    Dropout (inverted, drawn once per sequence) acts on the inputs, recurrent dropout on the previous
    output; with recurrent dropout, or `implementation=1`, each gate has its own masks, as in Keras.
    """

    gates = 1
    state_size: Any  # an int, or a list with one for each state
    state_names: tuple[str, ...] = ("h",)
    cut = True  # False for subclasses with their own `call`, which are run by that

    def __init_subclass__(cls) -> None:
        """Complete the signature of the constructor, and see whether `call` is still this one."""
        complete_signature(cls)
        cls.cut = cls.call is Cell.call

    @in_order(
        "units activation use_bias kernel_initializer recurrent_initializer bias_initializer kernel_regularizer "
        "recurrent_regularizer bias_regularizer kernel_constraint recurrent_constraint bias_constraint dropout "
        "recurrent_dropout seed"
    )
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
        if implementation not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: implementation must be 1 or 2, received {implementation!r}"
            )
        self.units = self.state_size = self.output_size = int(units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        keep_options(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        keep_options(self, "recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        keep_options(self, "bias", bias_initializer, bias_regularizer, bias_constraint)
        self.dropout, self.recurrent_dropout = float(dropout), float(recurrent_dropout)
        self.implementation = 1 if recurrent_dropout > 0 else int(implementation)
        self.seed, self.seed_generator = seed, SeedGenerator(seed)

    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias."""
        return (self.gates * self.units,)

    def build(self, input_shape: Any) -> None:
        """Create kernel, recurrent kernel and bias."""
        width = self.gates * self.units
        kernel, recurrent = weight_options(self, "kernel"), weight_options(self, "recurrent")
        self.kernel = self.add_weight((input_shape[-1], width), name="kernel", **kernel)
        self.recurrent_kernel = self.add_weight((self.units, width), name="recurrent_kernel", **recurrent)
        self.bias = (
            self.add_weight(self.bias_shape(), name="bias", **self.bias_options()) if self.use_bias else None
        )

    def bias_options(self) -> dict[str, Any]:
        """What `add_weight` is told of the bias."""
        return weight_options(self, "bias")

    def get_initial_state(self, batch_size: int) -> list[Tensor]:
        """Zeros `(batch_size, units)` for every state."""
        return [Tensor(np.zeros((batch_size, self.units), self.dtype), None) for _ in self.state_names]

    # --- one sequence: masks, projection, steps ------------------------------------------------------

    def prepare(self, batch: int, features: int) -> Any:
        """What is drawn once for a sequence: the dropout masks of inputs and previous outputs."""
        if not mode().training or not (self.dropout or self.recurrent_dropout):
            return NO_MASKS
        return tuple(
            dropout_mask(
                (self.gates if self.implementation == 1 else 1, batch, size),
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

    def call(self, inputs: Any, states: Any, training: bool | None = None) -> tuple[Any, Any]:
        """One time step: `(output, new states)`; the states are a list, or one tensor, as those given."""
        with switched(training=mode().training if training is None else bool(training)):
            held = _held_masks.get().get(id(self))
            masks = self.prepare(*inputs.shape) if held is None else held
        constants = self.share(masks)
        given = list(flatten(states))
        if len(given) != len(self.state_names):
            names = ", ".join(self.state_names)
            raise ValueError(
                f"{self.name}: expected {len(self.state_names)} states [{names}], received {len(given)}"
            )
        output, new = self.step(self.project(inputs, constants), given, constants)
        return output, new if isinstance(states, (list, tuple)) else new[0]


complete_signature(Cell)


def _masked_product(x: Any, kernel: Any, mask: Tensor | None) -> Any:
    """`(x · mask) @ kernel`; several masks stand for the blocks of columns of the kernel."""
    if mask is None:
        return x @ kernel
    masks = [m.reshape(m.shape[0], *(1,) * (x.ndim - 2), m.shape[1]) for m in mask]
    if len(masks) == 1:
        return (x * masks[0]) @ kernel
    columns = split(kernel, len(masks), axis=1)
    return concatenate([(x * m) @ k for m, k in zip(masks, columns, strict=True)], axis=-1)


# --- any cell: a user's has only `call`, a built-in one is cut in two -----------------------------


def is_cut(cell: Any) -> bool:
    """Whether a cell runs by `project` and `step`: a built-in one, or a stack, whose `call` is its own."""
    return getattr(cell, "cut", False) is True


def prepare(cell: Any, batch: int, features: int) -> Any:
    """What is drawn once for a sequence, for cells that draw something."""
    return cell.prepare(batch, features) if isinstance(cell, Cell) or is_cut(cell) else None


def initial_state(cell: Any, batch: int) -> list[Any]:
    """The states that a sequence starts from: what the cell's own method gives, or zeros of its sizes."""
    own = getattr(cell, "get_initial_state", None)
    if own is not None:
        return _listed(own(batch_size=batch))

    def zeros(size: Any) -> Tensor:
        if not isinstance(size, (int, np.integer)) or size < 0:
            raise ValueError(
                f"{cell.name}: state_size must be an int or a list with one for each state, received "
                f"{cell.state_size!r}"
            )
        return Tensor(np.zeros((batch, size), cell.dtype), None)

    return [map_nested(zeros, size) for size in _listed(cell.state_size)]


def share(cell: Any, masks: Any) -> Any:
    """What every step uses beside inputs and states, for cells that have something."""
    return cell.share(masks) if is_cut(cell) else masks


def project(cell: Any, x: Any, constants: Any) -> Any:
    """The part of a cell that needs the inputs only; `x` itself for a user's cell."""
    return cell.project(x, constants) if is_cut(cell) else x


def step_of(cell: Any, z: Any, states: Any, constants: Any) -> tuple[Any, Any]:
    """One time step of any cell, on what `project` gave."""
    if is_cut(cell):
        return cell.step(z, list(flatten(states)) if isinstance(cell, Cell) else states, constants)  # type: ignore[no-any-return]
    training = {"training": mode().training} if "training" in cell._call_arguments() else {}
    outer = _held_masks.set({**_held_masks.get(), id(cell): constants})
    try:
        made = cell._keeping_weights(cell.call, z, states, **training)
    except Exception as error:
        sizes = _listed(cell.state_size)
        if not hasattr(cell, "get_initial_state") and any(isinstance(size, tuple) for size in sizes):
            error.add_note(
                f"{cell.name}: a tuple in state_size, {sizes}, stands for several states, which call gets nested "
                "alike; states with more axes are made by a method get_initial_state(self, batch_size) of the cell"
            )
        raise
    finally:
        _held_masks.reset(outer)
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise TypeError(
            f"{cell.name}: call(inputs, states) must return (output, new_states), received {type(made).__name__}"
        )
    return made[0], made[1]


def output_size(cell: Any) -> Any:
    """Size of a cell's output: its `output_size`, or that of its first state."""
    size = getattr(cell, "output_size", None)
    return next(flatten(cell.state_size)) if size is None else size


def nest(states: list[Any], size: Any) -> Any:
    """Take as many states off the list as `size` has entries, nested in the same way."""
    return map_nested(lambda _: states.pop(0), _listed(size))


def nested(states: Any, size: Any) -> Any:
    """All states of a cell, nested as its sizes are; side by side if a size is the shape of a state, `[3, (4, 5)]`."""
    states = list(states)
    return nest(states, size) if sum(1 for _ in flatten(size)) == len(states) else states


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
