"""`RNN` runs a cell over time: it owns masks, direction, states and the time loop (`scan`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bptt import Source, bptt_source, scan
from ..bptt.explain import layer_of_cell
from ..bptt.masked import of_valid_steps, valid_steps
from ..bptt.outside.purity import Traces
from ..bptt.scan import CHECKPOINTS
from ..config import Scope, mode, switched
from ..core.tensor import Tensor
from ..ops import where
from ..utils.registry import parameters
from ..warn import warn
from .arguments import refuse_unknown, switches_training
from .cell import Cell, initial_state, nest, nested, prepare, project, share, step_of
from .layer import Layer
from .recurrent import Recurrent
from .stacked import StackedRNNCells, as_cell
from .symbolic import flatten


class RNN(Recurrent):
    """Run a cell (or a list of cells) over a sequence `(batch, time, features)`.

    Returns the last output `(batch, units)`, or all of them `(batch, time, units)` with
    `return_sequences`; with `return_state` a tuple `(output, state, ...)`. `go_backwards` runs from the
    last step, and returns the outputs in that order. `stateful` starts each batch from the last states of
    the batch before, through which no gradient flows. Where the mask `(batch, time)` is False, a step
    keeps the states and repeats the output (0 before the first valid step; 0 at all of them with
    `zero_output_for_mask` and `return_sequences`): `mask_semantics` says which. `unroll` has no effect on
    the numbers; `tg.unrolled()` and `tg.derived()` choose how the recurrence runs. With `checkpoint="sqrt"` it runs
    derived and keeps the states at about √T steps alone, for long sequences (see `scan`); Keras has no such argument.

    A cell has a `state_size`, or several, of states `(batch, size)` that start from zeros; it makes other first states,
    such as matrices, in a method `get_initial_state(batch_size)`.

    `step(x_t)` runs one step and keeps the state in the layer. `dropout_masks` are those of the last call:
    per cell (inputs, previous outputs), each (1 or gates, batch, size), or None.

    >>> from tinygrad_rnn.layers import SimpleRNNCell
    >>> layer = RNN([SimpleRNNCell(2), SimpleRNNCell(3)], return_sequences=True)
    >>> layer(np.ones((1, 4, 5), np.float32)).shape
    (1, 4, 3)
    """

    _plain = Layer._plain | {"dropout_masks", "_states"}
    step_methods = ("_one_step", "_whole_step")  # they need nothing but the cell

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        checkpoint: str | None = None,
        **options: Any,
    ) -> None:
        if checkpoint not in CHECKPOINTS:
            raise ValueError(
                f"{type(self).__name__}: checkpoint must be None or 'sqrt', received {checkpoint!r}"
            )
        refuse_unknown(type(self).__name__, options, parameters(RNN))
        made = as_cell(cell)
        super().__init__(**{"dtype": made.dtype, **options})
        self.cell = made
        if self.arguments.get("cell") is cell:  # a list: the configuration has the stack, as Keras's
            self.arguments["cell"] = made
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful = bool(go_backwards), bool(stateful)
        self.unroll, self.zero_output_for_mask = bool(unroll), bool(zero_output_for_mask)
        self.checkpoint = checkpoint
        self._features: int | None = None
        self._states: list[Any] | None = None  # flat; of the batch before (stateful), or of step()
        self.dropout_masks: Any = None
        self.traces = Traces(self)  # what derived mode knows about the step
        self._looked_for_padding = False

    # --- weights and states ---------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Build the cell."""
        if len(input_shape) != 3 or not isinstance(input_shape[2], (int, np.integer)):
            raise ValueError(
                f"{self.name}: expected one sequence (batch, time, features) with a known number of features, "
                f"received shape {input_shape}{_remedy(input_shape)}"
            )
        self._features = int(input_shape[2])
        self.cell.build_at(f"{self.path}/{self.cell.name}", (input_shape[0], *input_shape[2:]))

    def check_input(self, inputs: Any) -> None:
        """Three axes, at least one time step, and the number of features that the layer was built for."""
        if not isinstance(inputs, Tensor):
            what = f"dtype {inputs.dtype}" if isinstance(inputs, np.ndarray) else f"a {type(inputs).__name__}"
            raise ValueError(
                f"{self.name}: expected one sequence (batch, time, features), an array or tensor of numbers, received "
                f"{what}{_remedy(inputs)}"
            )
        if inputs.ndim != 3:
            raise ValueError(
                f"{self.name}: expected inputs (batch, time, features), received shape {inputs.shape}"
                f"{_remedy(inputs.shape)}"
            )
        if inputs.shape[1] == 0:
            raise ValueError(f"{self.name}: the sequence has no time steps (shape {inputs.shape})")
        if self.built and self._features is not None and inputs.shape[2] != self._features:
            raise ValueError(
                f"{self.name}: expected {self._features} features, received shape {inputs.shape}"
            )

    @property
    def state_size(self) -> list[Any]:
        """The sizes of the states, as a list; nested for stacked cells."""
        size = self.cell.state_size
        return list(size) if isinstance(size, (list, tuple)) else [size]

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """What a sequence starts from: a list with one entry per state, or per cell of a stack.

        Zeros, or what the cell's own `get_initial_state` gives.
        """
        return initial_state(self.cell, batch_size)

    def _first_states(self, batch: int) -> list[Any]:
        if isinstance(self.cell, Cell):
            return self.cell.get_initial_state(batch)
        found = flatten(self.get_initial_state(batch))
        return [self._cast(s if isinstance(s, Tensor) else np.asarray(s)) for s in found]

    def directions(self) -> list[RNN]:
        """The layer itself."""
        return [self]

    def split_states(self, states: Any) -> list[Any]:
        """All of them."""
        return [states]

    def given_states(self, initial_state: Any, batch: int) -> list[Any]:
        """States that the caller gives, as a flat list; `ValueError` for a wrong number or wrong shapes."""
        given = [self._cast(s if isinstance(s, Tensor) else np.asarray(s)) for s in flatten(initial_state)]
        if isinstance(self.cell, Cell):
            expected = [(batch, n) for n in flatten(self.cell.state_size)]
        else:
            expected = [s.shape for s in self._first_states(batch)]
        received = [s.shape for s in given]
        if received != expected:
            names = f" [{', '.join(self.cell.state_names)}]" if isinstance(self.cell, Cell) else ""
            states = "states" if len(expected) > 1 else "state"
            raise ValueError(
                f"{self.name}: {type(self).__name__} needs {len(expected)} {states}{names}, "
                f"shapes {expected} for a batch of {batch}; received {len(received)}, shapes {received}"
            )
        return given

    def _kept_states(self, batch: int) -> list[Any]:
        if self._states is None:
            return self._first_states(batch)
        kept = self._states[0].shape[0]
        if kept != batch:
            raise ValueError(
                f"{self.name} is stateful: it holds states of batch size {kept}, received a batch of {batch}; "
                f"give batches of {kept} (batch_size={kept}, and a number of examples that it divides), or call "
                "reset_state() first"
            )
        return self._states

    # --- running ----------------------------------------------------------------------------------------

    @switches_training
    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool | None = None
    ) -> Any:
        """Run over the sequence."""
        batch, _, features = sequences.shape
        if initial_state is not None:
            states = self.given_states(initial_state, batch)
        else:
            states = self._kept_states(batch) if self.stateful else self._first_states(batch)
        if mask is None and not self._looked_for_padding:
            self._look_for_padding(sequences)
        masks = self.dropout_masks = prepare(self.cell, batch, features)
        derived = mode().derive or self.checkpoint is not None
        whole = derived or "hoist" in mode().passes  # the step projects its own inputs
        if mask is not None and not whole:  # else `scan` does it
            sequences = of_valid_steps(sequences, mask)
        constants = masks if whole else share(self.cell, masks)
        outputs, last = scan(
            self._whole_step if whole else self._one_step,
            sequences if whole else project(self.cell, sequences, constants),
            states,
            constants,
            go_backwards=self.go_backwards,
            mask=mask,
            checkpoint=self.checkpoint,
            return_sequences=self.return_sequences,
        )
        if self.return_sequences and self.zero_output_for_mask and mask is not None:
            outputs = where(valid_steps(mask, self.go_backwards)[..., None], outputs, 0.0)
        if self.stateful:
            self._states = [s.detach() for s in last]
        if not self.return_state:
            return outputs
        if isinstance(self.cell, StackedRNNCells):  # one entry per cell, each a list
            remaining = list(last)
            return (outputs, *[nest(remaining, cell.state_size) for cell in self.cell.cells])
        return (outputs, *last)

    def _one_step(self, z: Any, states: Any, constants: Any) -> tuple[Any, list[Any]]:
        if isinstance(self.cell, Cell) and self.cell.cut:  # its states are a flat list already
            return self.cell.step(z, states, constants)
        output, new = step_of(self.cell, z, nested(states, self.cell.state_size), constants)
        return output, list(flatten(new))

    def _whole_step(self, x: Any, states: Any, masks: Any) -> tuple[Any, list[Any]]:
        """A step from the inputs themselves, as derived mode wants it: it finds out what can be done beforehand."""
        constants = share(self.cell, masks)
        return self._one_step(project(self.cell, x, constants), states, constants)

    def bptt_source(self) -> Source:
        """The derived forward and backward pass of this layer as Python source: `tinygrad_rnn.bptt_source`.

        The layer must be built; raises `ValueError` otherwise.
        """
        return bptt_source(self)

    @property
    def source_notes(self) -> list[str]:
        """What the source of a step does not tell about the layer."""
        notes = ["This is the layer without a mask, and without dropout."]
        if self.go_backwards:
            notes.append("It goes backwards: give X[:, ::-1]; Y and dX come in that order, too.")
        if not self.return_sequences:
            notes.append("In a model it runs without Y and dY if its last output is a state.")
        return notes

    def derivable_step(self, x: Any, states: Any, caller: str) -> tuple[Any, Any, list[Any], Any]:
        """The step for `bptt_source` and `explain`, its input and states in the layer's type, and its constants.

        Without an input it is that of two examples, without states they are those of `get_initial_state`. Raises
        `ValueError` for an input that is not `(batch, features)`, and for states that do not fit.
        """
        if x is None:
            if not self.built or self._features is None:
                raise ValueError(f"{self.name}.{caller}: call the layer on data (or build it) first")
            x = np.zeros((2, self._features), self.dtype)
        x = self._one_input(x, caller)
        if not self.built:
            self.build_at(self.path, (None, None, x.shape[1]))
        given = self._first_states(len(x)) if states is None else self.given_states(states, len(x))
        return self._whole_step, x, given, prepare(self.cell, *x.shape)

    def _one_input(self, x: Any, caller: str) -> Tensor:
        """The input of one time step, in the layer's type."""
        x_t: Tensor = self._cast(np.asarray(x) if not isinstance(x, Tensor) else x)
        if x_t.ndim != 2:
            raise ValueError(
                f"{self.name}.{caller}: expected the inputs of one time step, (batch, features), received shape "
                f"{x_t.shape}"
            )
        if self.built and self._features is not None and x_t.shape[1] != self._features:
            raise ValueError(
                f"{self.name}.{caller}: expected {self._features} features, received shape {x_t.shape}"
            )
        return x_t

    def step(self, x_t: Any, states: Any = None) -> Any:
        """One time step on `x_t` `(batch, features)`: streaming.

        Without `states` the state is kept in the layer, from zeros after `reset_state()`, and the output
        is returned. With `states` nothing is kept, and `(output, new states)` is returned.
        """
        x_t = self._one_input(x_t, "step")
        if not self.built:
            self.build_at(self.path, (None, None, x_t.shape[1]))
        batch = x_t.shape[0]
        before = self._kept_states(batch) if states is None else self.given_states(states, batch)
        with switched(scope=Scope(self.name)):
            output, new = self._whole_step(x_t, before, prepare(self.cell, *x_t.shape))
        if states is not None:
            return output, new
        self._states = [s.detach() for s in new]
        return output

    def _look_for_padding(self, sequences: Any) -> None:
        """Warn, at the first batch that is recorded, if many ids of the `Embedding` before are trailing zeros."""
        node = sequences._node
        self._looked_for_padding = mode().grad
        if node is None or node.op is None or node.op.name != "take":
            return
        ids = np.asarray(node.saved[-1])
        if ids.shape != sequences.shape[:2]:
            return
        trailing = np.cumprod(ids[:, ::-1] == 0, axis=1).mean()
        if trailing == 1:  # nothing but zeros: a call that builds the model
            self._looked_for_padding = False
        elif trailing > 0.3:
            warn(
                f"{self.name}: {trailing:.0%} of the ids embedded in front of it are trailing zeros, and there is no "
                "mask: the last state is that of the padding. If 0 is padding, use Embedding(..., mask_zero=True)",
            )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on if the whole sequence is returned."""
        mask = next(flatten(mask), None)
        if mask is None or not self.return_sequences:
            return None
        return valid_steps(mask, True) if self.go_backwards else mask


def _remedy(received: Any) -> str:
    """What to do about inputs, or their shape, that are no sequence."""
    parts = received if isinstance(received, (list, tuple)) else ()
    if len(parts) > 1 and isinstance(parts[0], (Tensor, tuple)):
        return "; states go into initial_state=[...]"
    if isinstance(received, tuple) and len(received) == 2:
        return (
            ": two axes. A recurrent layer in front of it must return its whole sequence (return_sequences=True); a "
            "sequence of numbers needs an axis of features, x[..., None]"
        )
    return ""


layer_of_cell.append(RNN)
