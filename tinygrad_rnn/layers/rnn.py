"""`RNN` runs a cell over time: it owns masks, direction, states and the time loop (`scan`)."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import numpy as np

from ..bptt import Source, bptt_source, scan
from ..config import Scope, mode, switched
from ..core.tensor import Tensor
from ..ops import where
from ..utils.registry import parameters
from .cell import Cell, StackedRNNCells, as_cell, nest, prepare, project, share, step_of
from .layer import Layer
from .symbolic import flatten


class RNN(Layer):
    """Run a cell (or a list of cells) over a sequence `(batch, time, features)`.

    Returns the last output `(batch, units)`, or all of them `(batch, time, units)` with
    `return_sequences`; with `return_state` a tuple `(output, state, ...)`. `go_backwards` runs from the
    last step, and returns the outputs in that order. `stateful` starts each batch from the last states of
    the batch before, through which no gradient flows. Where the mask `(batch, time)` is False, a step
    keeps the states and repeats the output (0 with `zero_output_for_mask`).

    `step(x_t)` runs one step and keeps the state in the layer.

    >>> from tinygrad_rnn.layers import SimpleRNNCell
    >>> layer = RNN([SimpleRNNCell(2), SimpleRNNCell(3)], return_sequences=True)
    >>> layer(np.ones((1, 4, 5), np.float32)).shape
    (1, 4, 3)
    """

    supports_masking = True

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **options: Any,
    ) -> None:
        made = as_cell(cell)
        super().__init__(**{"dtype": made.dtype, **options})
        self.cell = made
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful = bool(go_backwards), bool(stateful)
        self.unroll, self.zero_output_for_mask = bool(unroll), bool(zero_output_for_mask)
        self._features: int | None = None
        self._states: list[Any] | None = None  # flat; of the batch before (stateful), or of step()
        self.traces: dict[Any, Any] = {}  # what derived mode knows about the step

    # --- weights and states ---------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Build the cell."""
        if len(input_shape) != 3:
            raise ValueError(
                f"{self.name}: expected inputs (batch, time, features), received shape {input_shape}"
            )
        self._features = input_shape[2]
        self.cell.build_at(f"{self.path}/{self.cell.name}", (input_shape[0], *input_shape[2:]))

    def check_input(self, inputs: Any) -> None:
        """Three axes, at least one time step, and the number of features that the layer was built for."""
        if inputs.ndim != 3:
            raise ValueError(
                f"{self.name}: expected inputs (batch, time, features), received shape {inputs.shape}"
            )
        if inputs.shape[1] == 0:
            raise ValueError(f"{self.name}: the sequence has no time steps (shape {inputs.shape})")
        if self.built and self._features is not None and inputs.shape[2] != self._features:
            raise ValueError(
                f"{self.name}: expected {self._features} features, received shape {inputs.shape}"
            )

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Zeros for every state of the cell, as a flat list (or what the cell's own method gives)."""
        own = getattr(self.cell, "get_initial_state", None)
        if own is not None:
            return list(flatten(own(batch_size=batch_size)))
        return [Tensor(np.zeros((batch_size, n), self.dtype), None) for n in self._sizes()]

    def _sizes(self) -> list[int]:
        return [int(n) for n in flatten(self.cell.state_size)]

    def reset_state(self) -> None:
        """Forget the kept state: the next stateful batch, or `step`, starts from zeros."""
        self._states = None

    @property
    def states(self) -> list[Any] | None:
        """The kept states (flat), or None before the first batch."""
        return self._states

    def _given_states(self, initial_state: Any, batch: int) -> list[Any]:
        """Check states that the caller gives: their number and shapes."""
        given = [
            self._cast(np.asarray(s) if not isinstance(s, Tensor) else s) for s in flatten(initial_state)
        ]
        expected = [(batch, n) for n in self._sizes()]
        received = [tuple(s.shape) for s in given]
        if received != expected:
            raise ValueError(
                f"{self.name}: expected {len(expected)} initial states of shapes {expected}, "
                f"received {received}"
            )
        return given

    def _kept_states(self, batch: int) -> list[Any]:
        if self._states is None:
            return self.get_initial_state(batch)
        if self._states[0].shape[0] != batch:
            raise ValueError(
                f"{self.name} is stateful: it holds states of batch size {self._states[0].shape[0]}, "
                f"received a batch of {batch}; call reset_state() first, or keep the batch size"
            )
        return self._states

    # --- running ----------------------------------------------------------------------------------------

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None) -> Any:
        """Run over the sequence."""
        batch, _, features = sequences.shape
        if initial_state is not None:
            states = self._given_states(initial_state, batch)
        else:
            states = self._kept_states(batch) if self.stateful else self.get_initial_state(batch)
        masks = prepare(self.cell, batch, features)
        whole = mode().derive or "hoist" in mode().passes  # the step projects its own inputs
        constants = masks if whole else share(self.cell, masks)
        outputs, last = scan(
            self._whole_step if whole else self._one_step,
            sequences if whole else project(self.cell, sequences, constants),
            states,
            constants,
            go_backwards=self.go_backwards,
            mask=mask,
            return_sequences=self.return_sequences,
        )
        if self.return_sequences and self.zero_output_for_mask and mask is not None:
            valid = np.asarray(mask).astype(bool)
            outputs = where((valid[:, ::-1] if self.go_backwards else valid)[..., None], outputs, 0.0)
        if self.stateful:
            self._states = [s.detach() for s in last]
        if not self.return_state:
            return outputs
        if isinstance(self.cell, StackedRNNCells):  # one entry per cell, each a list
            remaining = list(last)
            return (outputs, *[nest(remaining, cell.state_size) for cell in self.cell.cells])
        return (outputs, *last)

    def _one_step(self, z: Any, states: Any, constants: Any) -> tuple[Any, list[Any]]:
        if isinstance(self.cell, Cell):  # its states are a flat list already
            return self.cell.step(z, states, constants)
        output, new = step_of(self.cell, z, nest(list(states), self.cell.state_size), constants)
        return output, list(flatten(new))

    def _whole_step(self, x: Any, states: Any, masks: Any) -> tuple[Any, list[Any]]:
        """A step from the inputs themselves, as derived mode wants it: it finds out what can be done beforehand."""
        constants = share(self.cell, masks)
        return self._one_step(project(self.cell, x, constants), states, constants)

    def bptt_source(self) -> Source:
        """The derived forward and backward pass of this layer as Python source: `tinygrad_rnn.bptt_source`.

        The layer must be built; raises `ValueError` otherwise.
        """
        if not self.built or self._features is None:
            raise ValueError(f"{self.name}.bptt_source: call the layer on data (or build it) first")
        x = np.zeros((2, self._features), self.dtype)
        return bptt_source(self, x, self.get_initial_state(2))

    def derivable_step(self, x: Any, constants: Any) -> tuple[Any, Any]:
        """The step for `bptt_source` and `explain`, and its constants."""
        if not self.built:
            self.build_at(self.path, (None, None, np.shape(x)[1]))
        return self._whole_step, prepare(self.cell, *np.shape(x))

    def trace_key(self, masks: Any) -> list[Any] | None:
        """The objects that the step depends on, beside its arguments; None if it may depend on others."""
        cells = self.cell.cells if isinstance(self.cell, StackedRNNCells) else [self.cell]
        objects: list[Any] = [mode().training]
        for cell in cells:
            if not vars(type(cell)).get("known_step") or not cell.known_activations():
                return None
            objects += vars(cell).values()
        return objects if all(m is None for m in flatten(masks)) else None

    def step(self, x_t: Any, states: Any = None) -> Any:
        """One time step on `x_t` `(batch, features)`: streaming.

        Without `states` the state is kept in the layer, from zeros after `reset_state()`, and the output
        is returned. With `states` nothing is kept, and `(output, new states)` is returned.
        """
        x_t = self._cast(np.asarray(x_t) if not isinstance(x_t, Tensor) else x_t)
        if x_t.ndim != 2:
            raise ValueError(
                f"{self.name}.step: expected inputs (batch, features), received shape {x_t.shape}"
            )
        if not self.built:
            self.build_at(self.path, (None, None, x_t.shape[1]))
        batch = x_t.shape[0]
        before = self._kept_states(batch) if states is None else self._given_states(states, batch)
        with switched(scope=Scope(self.name)):
            output, new = self._whole_step(x_t, before, prepare(self.cell, *x_t.shape))
        if states is not None:
            return output, new
        self._states = [s.detach() for s in new]
        return output

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on if the whole sequence is returned."""
        mask = next(flatten(mask), None)
        if mask is None or not self.return_sequences:
            return None
        return np.asarray(mask)[:, ::-1] if self.go_backwards else mask


class CellRNN(RNN):
    """Base of SimpleRNN, LSTM and GRU: `RNN(cell_class(units, ...), ...)` under one name.

    Arguments are those of the cell, then those of `RNN`. The cell's attributes (`units`, `kernel`,
    `recurrent_kernel`, `bias`, ...) can be read from the layer.
    """

    cell_class: type[Cell]
    cell_name = "cell"

    def __init_subclass__(cls) -> None:
        """Show in `help` what the constructor takes: the arguments of the cell, of RNN and of Layer."""
        shown: dict[str, inspect.Parameter] = {}
        for base in (*cls.cell_class.__mro__[:-1], *RNN.__mro__[:-1]):
            for name, parameter in inspect.signature(base.__init__).parameters.items():  # type: ignore[misc]
                if name not in ("self", "cell") and parameter.kind is not parameter.VAR_KEYWORD:
                    shown.setdefault(name, parameter.replace(kind=parameter.KEYWORD_ONLY))
        units = shown.pop("units").replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
        cls.__signature__ = inspect.Signature([units, *shown.values()])  # type: ignore[attr-defined]

    def __init__(self, units: int, *args: Any, **options: Any) -> None:
        general = parameters(Layer)
        of_cell = [p for p in parameters(self.cell_class) if p not in ("units", *general)]
        of_rnn = [p for p in parameters(RNN) if p not in ("cell", *general)]
        given = dict(zip((*of_cell, *of_rnn), args, strict=False)) | options
        unknown = [k for k in given if k not in (*of_cell, *of_rnn, *general, "use_cudnn")]
        if unknown:
            near = difflib.get_close_matches(unknown[0], (*of_cell, *of_rnn, *general), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{type(self).__name__}: unknown argument {unknown[0]!r}{hint}")
        cell = self.cell_class(
            units,
            **{k: v for k, v in given.items() if k in of_cell},
            **{k: v for k, v in given.items() if k in ("dtype", "trainable")},
            name=self.cell_name,
        )
        super().__init__(cell, **{k: v for k, v in given.items() if k in (*of_rnn, *general)})
        self.arguments = {"units": units, **given}

    def __getattr__(self, name: str) -> Any:
        """Read what the cell has: `layer.kernel`, `layer.units`."""
        if name.startswith("_") or "cell" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(vars(self)["cell"], name)
