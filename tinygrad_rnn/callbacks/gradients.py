"""`GradientNorms`: how long the gradients are, of every weight, and at every time step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..config import Monitor, mode, switched
from ..core.op import Array, Leaf, Node
from ..optimizers.gradients import norms
from .callback import Callback, Logs


class _Watch(Monitor):
    """Adds up the gradients of weights, and of what a time step hands on to others."""

    def __init__(self) -> None:
        self.weights: dict[Leaf, Array] = {}
        self.handed_on: dict[Node, Array] = {}

    def backward(self, node: Any, parent: Any, part: Any) -> None:
        """Keep one part of the gradient of `parent`."""
        if isinstance(parent, Leaf):
            sums: dict[Any, Array] = self.weights
            wanted = parent.variable
        else:
            sums, wanted = self.handed_on, parent.scope.t not in (None, node.scope.t)
        if wanted:
            sums[parent] = sums[parent] + part if parent in sums else part


class GradientNorms(Callback):
    """Measure the gradients of the first batch of every epoch, which answers: which gradient vanished?

    `weights` maps the path of each weight, `layers` the name of each layer, to its norms `√Σ (∂L/∂w)²`, one per epoch.
    `steps` maps each recurrent layer to arrays, one per epoch, with a norm for each time step t: that of the
    gradient of all values that step t hands on (`h`, of an LSTM `h` and `c`), `√Σ (∂L/∂h_t)²`, over the whole batch.
    A vanishing gradient falls towards the first steps. The logs get `gradient_norm`, that of all weights.

    The batch runs unrolled (its recurrences step by step, as slow as under `tg.unrolled()`), all others as always; its
    update is the same but for rounding. Nothing is measured inside `debug_nans()`.

    >>> import tinygrad_rnn as tg
    >>> model = tg.Sequential([tg.Input((5, 2)), tg.layers.SimpleRNN(3, name="rnn"), tg.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> measured = GradientNorms()
    >>> _ = model.fit(np.ones((4, 5, 2)), np.ones((4, 1)), epochs=2, verbose=0, callbacks=[measured])
    >>> [norms.shape for norms in measured.steps["rnn"]], len(measured.layers["rnn"])
    ([(5,), (5,)], 2)
    """

    kept = "weights", "layers", "steps", "_last"

    def __init__(self) -> None:
        self.weights: dict[str, list[float]] = {}
        self.layers: dict[str, list[float]] = {}
        self.steps: dict[str, list[Array]] = {}
        self._watch: _Watch | None = None
        self._switch = switched()
        self._last = math.nan

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget the run before."""
        self.weights, self.layers, self.steps = {}, {}, {}

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Begin to watch the first batch."""
        if batch == 0 and mode().monitor is None:
            self._watch = _Watch()
            self._switch = switched(monitor=self._watch)
            self._switch.__enter__()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Measure what was seen."""
        if self._watch is not None:
            watch = self._watch
            self._stop()
            self._measure(watch)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Log the norm of all."""
        if logs is not None:
            logs["gradient_norm"] = self._last

    def on_train_end(self, logs: Logs = None) -> None:
        """Stop watching, also when the batch raised."""
        self._stop()

    def _stop(self) -> None:
        if self._watch is not None:
            self._switch.__exit__()
            self._watch = None

    def _measure(self, watch: _Watch) -> None:
        layers: dict[str, list[float]] = {}
        for leaf, length in zip(watch.weights, norms(watch.weights.values()), strict=True):
            self.weights.setdefault(str(leaf.name), []).append(length)
            layers.setdefault(str(leaf.name).partition("/")[0], []).append(length)
        for layer, lengths in layers.items():
            self.layers.setdefault(layer, []).append(math.hypot(*lengths))
        self._last = math.hypot(*(length for lengths in layers.values() for length in lengths))
        steps: dict[str, dict[int, list[float]]] = {}
        for node, length in zip(watch.handed_on, norms(watch.handed_on.values()), strict=True):
            t = node.scope.t
            assert t is not None
            steps.setdefault(node.scope.layer, {}).setdefault(t, []).append(length)
        for layer, found in steps.items():
            line = np.zeros(max(found) + 1)
            for t, lengths in found.items():
                line[t] = math.hypot(*lengths)
            self.steps.setdefault(layer, []).append(line)
