"""Random recurrent layers, written once and made from either library: the import line is all that changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

ACTIVATIONS = ["tanh", "tanh", "sigmoid", "relu", "elu", "softsign", "hard_sigmoid", None]
GATES = ["sigmoid", "sigmoid", "hard_sigmoid", "tanh"]
KINDS = ["SimpleRNN", "LSTM", "GRU", "GRU before", "stack", "cell", "Bidirectional", "Bidirectional pair"]
MERGE = ["concat", "sum", "mul", "ave", None]


@dataclass
class Case:
    """A layer with everything that it is run on."""

    kind: str
    arguments: dict[str, Any]  # of the layer: sequences, states, direction
    cells: list[tuple[str, dict[str, Any]]]  # one; several for stacks; two for a pair
    merge: str | None
    x: np.ndarray
    mask: np.ndarray | None
    states: list[np.ndarray] = field(default_factory=list)  # flat; empty: not given
    sizes: list[list[int]] = field(default_factory=list)  # of the states, per cell

    def layer(self, layers: Any) -> Any:
        """The layer, from `keras.layers` or `tinygrad_rnn.layers`."""
        options = {**self.arguments, "dtype": "float64"}
        if self.kind in ("stack", "cell"):
            cells = [getattr(layers, name + "Cell")(**a, dtype="float64") for name, a in self.cells]
            cell = layers.StackedRNNCells(cells, dtype="float64") if self.kind == "stack" else cells[0]
            return layers.RNN(cell, **options)
        made = [getattr(layers, name)(**a, **options) for name, a in self.cells[:1]]
        if self.kind == "Bidirectional pair":
            name, a = self.cells[1]
            made.append(getattr(layers, name)(**a, **options, go_backwards=True))
        if not self.kind.startswith("Bidirectional"):
            return made[0]
        backward = {"backward_layer": made[1]} if len(made) == 2 else {}
        return layers.Bidirectional(made[0], merge_mode=self.merge, dtype="float64", **backward)

    def initial_state(self, convert: Any) -> Any:
        """The states as the call takes them: nested for stacks."""
        tensors = [convert(s) for s in self.states]
        if self.kind != "stack":
            return tensors
        left = iter(tensors)
        return [[next(left) for _ in sizes] for sizes in self.sizes]


def random_cell(rng: np.random.Generator, name: str) -> tuple[str, dict[str, Any]]:
    arguments: dict[str, Any] = {
        "units": int(rng.integers(1, 5)),
        "activation": ACTIVATIONS[rng.integers(len(ACTIVATIONS))],
        "use_bias": bool(rng.random() < 0.8),
    }
    if name != "SimpleRNN":
        arguments["recurrent_activation"] = GATES[rng.integers(len(GATES))]
        arguments["implementation"] = int(rng.integers(1, 3))
    if name.startswith("GRU"):
        arguments["reset_after"] = name == "GRU"
    if name == "LSTM":
        arguments["unit_forget_bias"] = bool(rng.random() < 0.5)
    return name.removesuffix(" before"), arguments


def random_mask(rng: np.random.Generator, batch: int, time: int) -> np.ndarray | None:
    """None, right or left padded, with holes, with a row of which nothing counts, or all True."""
    lengths = rng.integers(0, time + 1, batch)[:, None]
    right = np.arange(time) < lengths
    holes = rng.random((batch, time)) < 0.6
    empty = holes.copy()
    empty[rng.integers(batch)] = False
    return [None, None, right, right[:, ::-1].copy(), holes, empty, np.ones((batch, time), bool)][
        rng.integers(7)
    ]


def case(seed: int) -> Case:
    """Case of number `seed`."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    simple = ["SimpleRNN", "LSTM", "GRU", "GRU before"]
    names = {"stack": int(rng.integers(2, 4)), "Bidirectional pair": 2}.get(kind, 1)
    cells = [random_cell(rng, kind if kind in simple else simple[rng.integers(4)]) for _ in range(names)]
    merge = MERGE[rng.integers(len(MERGE))]
    if kind == "Bidirectional pair" and merge in ("sum", "mul", "ave"):
        cells[1][1]["units"] = cells[0][1]["units"]
    sequences = bool(rng.random() < 0.6)
    arguments = {"return_sequences": sequences, "return_state": bool(rng.random() < 0.5)}
    if not kind.startswith("Bidirectional"):
        arguments["go_backwards"] = bool(rng.random() < 0.4)
        arguments["zero_output_for_mask"] = sequences and bool(rng.random() < 0.4)
    batch, time, features = rng.integers(1, 4), rng.integers(1, 6), rng.integers(1, 4)
    made = Case(
        kind,
        arguments,
        cells,
        merge,
        rng.standard_normal((batch, time, features)),
        random_mask(rng, batch, time),
        sizes=[[a["units"]] * (2 if name == "LSTM" else 1) for name, a in cells],
    )
    if kind == "Bidirectional":
        made.sizes = made.sizes * 2
    if rng.random() < 0.5 and (kind != "Bidirectional pair" or len({len(s) for s in made.sizes}) == 1):
        made.states = [rng.standard_normal((batch, n)) for sizes in made.sizes for n in sizes]
    return made
