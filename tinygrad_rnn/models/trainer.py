"""`Trainer`: compile, fit, evaluate and predict.

An update happens as a whole or not at all: gradients are checked before any weight changes, and Ctrl-C
waits for the end of the batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import losses as losses_module
from .. import metrics as metrics_module
from .. import optimizers
from ..callbacks import History
from ..config import debug_nans, switched
from ..core.autodiff import leaf_gradients
from ..core.tensor import Tensor, Variable
from ..layers.symbolic import flatten, map_nested
from ..utils.threads import blas_threads_for
from .data import ArrayData, Batch, adapt
from .loop import Hooks, Snapshot, bad_input, interrupt_between_batches, kept_states, places_of, put_back
from .progress import ProgressBar


class Trainer:
    """What a model can do once it is compiled."""

    optimizer: Any = None
    loss: Any = None
    stop_training = False
    history: History | None = None
    skipped_batches = 0
    run_eagerly = False
    jit_compile: bool | str = "auto"
    # what `Layer` has:
    weights: list[Any]
    trainable_weights: list[Any]
    losses: list[Any]
    all_layers: Callable[[], Iterator[Any]]
    __call__: Callable[..., Any]
    name: str

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        run_eagerly: bool = False,
        jit_compile: bool | str = "auto",
        on_nonfinite: str = "raise",
    ) -> None:
        """Choose optimizer, loss and metrics, by name or as objects.

        With several outputs, `loss` is a list with one entry per output; the losses add up. Non-finite
        gradients never reach the weights: `on_nonfinite="raise"` stops with the op, layer and time step
        where the first non-finite value was born, "skip" leaves the batch out and counts it in
        `skipped_batches`. Raises `ValueError` for unknown names, with the nearest known one.
        `jit_compile`: "auto" and True run recurrences as derived loops where they can be derived, False, or
        `run_eagerly=True`, step by step; both hold in training, evaluation and prediction.
        """
        if not isinstance(run_eagerly, bool):
            raise ValueError(f"compile: run_eagerly must be True or False, received {run_eagerly!r}")
        if not isinstance(jit_compile, (bool, str)) or jit_compile not in (True, False, "auto"):
            raise ValueError(f"compile: jit_compile must be True, False or 'auto', received {jit_compile!r}")
        if on_nonfinite not in ("raise", "skip"):
            raise ValueError(f"compile: on_nonfinite must be 'raise' or 'skip', received {on_nonfinite!r}")
        made_optimizer = optimizers.get(optimizer)
        made_loss = None if loss is None else map_nested(losses_module.as_loss, loss)
        self.optimizer, self.loss = made_optimizer, made_loss
        switches = {"on_nonfinite": on_nonfinite, "run_eagerly": run_eagerly, "jit_compile": jit_compile}
        self.compile_arguments = {"loss": loss, "metrics": metrics, **switches}
        self.run_eagerly, self.jit_compile, self.on_nonfinite = run_eagerly, jit_compile, on_nonfinite
        self.skipped_batches = 0
        self._metric_names = (
            [] if metrics is None else metrics if isinstance(metrics, (list, tuple)) else [metrics]
        )
        self._metrics: list[Any] | None = None
        for metric in self._metric_names:
            if metric not in ("accuracy", "acc"):
                metrics_module.get(metric)

    # --- one batch ------------------------------------------------------------------------------------

    def _mode(self, training: bool, grad: bool) -> switched:
        """The switches under which the model runs: recurrences in derived mode, unless `compile` said otherwise."""
        derive = not self.run_eagerly and self.jit_compile is not False
        return switched(training=training, grad=grad, derive=derive)

    def compute_loss(self, batch: Batch, predictions: Any) -> Tensor:
        """The compiled loss plus all penalties."""
        outputs, targets = list(flatten(predictions)), list(flatten(batch.y))
        functions = list(flatten(self.loss))
        if len(functions) == 1 and len(outputs) > 1:
            functions = functions * len(outputs)
        if not len(functions) == len(outputs) == len(targets):
            raise ValueError(
                f"{self.name}: {len(outputs)} outputs, {len(targets)} targets and {len(functions)} losses; "
                "expected as many of each"
            )
        weights = list(flatten(batch.sample_weight))
        weights = weights * len(outputs) if len(weights) == 1 else weights
        total: Any = None
        for function, y, p, w in zip(functions, targets, outputs, weights, strict=True):
            value = function(y, p, sample_weight=w, mask=getattr(p, "_mask", None))
            total = value if total is None else total + value
        for penalty in self.losses:
            total = total + penalty
        return total  # type: ignore[no-any-return]

    def _forward(self, batch: Batch) -> tuple[Any, Tensor]:
        predictions = self(batch.x)
        return predictions, self.compute_loss(batch, predictions)

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Forward, backward and update on one batch; returns the loss. One that raises changes nothing."""
        kept, bad = kept_states(self), None
        try:
            with self._mode(training=True, grad=True):
                predictions, loss = self._forward(batch)
                found = leaf_gradients(loss) if loss.requires_grad else {}
            variables, gradients = self._gradients(found)
            if any(g is not None for g in gradients):
                self.optimizer.apply(gradients, variables)
        except optimizers.NonFiniteGradient as error:
            bad = error.path
        except BaseException:
            put_back(kept)
            raise
        if bad is not None:
            put_back(kept)
            try:
                if self.on_nonfinite == "raise":
                    self._explain_nonfinite(batch, bad)
            finally:
                put_back(kept)
            self.skipped_batches += 1
            return {}
        return {"loss": float(loss), **self._update_metrics(batch, predictions)}

    def _gradients(self, found: dict[Any, Any]) -> tuple[list[Variable], list[Any]]:
        """The trainable weights and their gradients.

        If the leaves found are just the variables that the optimizer knows, nothing was added, frozen or taken
        away since the last batch, and there is no need to look through all layers.
        """
        variables = self.optimizer.variables
        gradients = [found.get(v._node) for v in variables]
        if len(gradients) != len(found) or any(g is None for g in gradients):
            variables = self.trainable_weights
            gradients = [found.get(v._node) for v in variables]
        return variables, gradients

    def _explain_nonfinite(self, batch: Batch, path: str) -> None:
        """Run the batch again with every op checked, and raise where the first NaN or infinity is born."""
        if (bad := bad_input(batch)) is not None:
            raise FloatingPointError(f"{self.name}: {bad}; the weights are unchanged")
        remedy = (
            "the weights are unchanged. Lower the learning rate, clip the gradients (clipnorm=1.0), or "
            "compile(on_nonfinite='skip')"
        )
        try:
            with debug_nans(), self._mode(training=True, grad=True):
                leaf_gradients(self._forward(batch)[1])
        except FloatingPointError as error:
            raise FloatingPointError(f"non-finite gradient of {path}: {error}; {remedy}") from None
        raise FloatingPointError(f"non-finite gradient of {path}; {remedy}")

    def test_step(self, batch: Batch) -> dict[str, float]:
        """Loss and metrics on one batch, without training."""
        with self._mode(training=False, grad=False):
            predictions, loss = self._forward(batch)
        return {"loss": float(loss), **self._update_metrics(batch, predictions)}

    def _update_metrics(self, batch: Batch, predictions: Any) -> dict[str, float]:
        y, p = next(flatten(batch.y)), next(flatten(predictions))
        if self._metrics is None:
            self._metrics = [metrics_module.fitting(m, np.shape(y), p.shape) for m in self._metric_names]
        mask = getattr(p, "_mask", None)
        for metric in self._metrics:
            metric.update_state(y, np.asarray(p), sample_weight=None if mask is None else np.asarray(mask))
        return {m.name: m.result() for m in self._metrics}

    # --- whole data sets ------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_batch_size: int | None = None,
    ) -> History:
        """Train for `epochs`; returns the `History`.

        The logged loss is the running mean over the epoch's batches, weighted by their sizes, while the
        weights change. `validation_split` holds out the last part of the arrays, before shuffling.
        Raises `ValueError` before any weight changes if the data does not fit.
        """
        self._require_compiled("fit")
        data, held_out = adapt(x, y, sample_weight, batch_size), None
        if validation_split:
            if not isinstance(data, ArrayData):
                raise ValueError("fit: validation_split needs arrays")
            data, held_out = data.split(validation_split)
        else:
            size = validation_batch_size or batch_size
            xs, ys, ws = [*(validation_data or ()), None, None, None][:3]
            held_out = None if validation_data is None else adapt(xs, ys, ws, size)
        self.history = History()
        steps = steps_per_epoch or data.steps
        hooks = Hooks(self, [self.history, *(callbacks or []), ProgressBar(verbose)], epochs, steps)
        self.stop_training = False
        before: Snapshot | None = Snapshot(self)
        with interrupt_between_batches() as interrupted, blas_threads_for(self.weights):
            try:
                hooks.call("on_train_begin")
                for epoch in range(initial_epoch, epochs):
                    hooks.call("on_epoch_begin", epoch)
                    logs = self._epoch(data, steps, shuffle, hooks, interrupted)
                    if held_out is not None:
                        logs |= {f"val_{k}": v for k, v in self._evaluate(held_out).items()}
                    before = None  # every example has been seen, and fits
                    hooks.call("on_epoch_end", epoch, logs)
                    if self.stop_training:
                        break
            except (TypeError, ValueError):
                if before is not None:
                    before.restore()
                raise
            finally:
                hooks.call("on_train_end")
        return self.history

    def _epoch(
        self, data: Any, steps: int | None, shuffle: bool, hooks: Any, interrupted: Any
    ) -> dict[str, float]:
        mean, count, seen = 0.0, 0, False
        logs: dict[str, float] = {}
        self._reset_metrics()
        for index, batch in enumerate(itertools.islice(data.batches(shuffle), steps)):
            hooks.call("on_train_batch_begin", index)
            seen = True
            with places_of(batch):
                step = self.train_step(batch)
            if step:  # nothing, if it was skipped
                logs = step
                count += batch.size
                mean += (logs["loss"] - mean) * batch.size / count
            logs["loss"] = mean if count else math.nan
            hooks.call("on_train_batch_end", index, logs)
            if interrupted.is_set():
                raise KeyboardInterrupt("fit was interrupted; the model is as it was after the last batch")
            if self.stop_training:
                break
        if not seen:
            raise ValueError("fit: the data gave no batches (a generator serves one epoch only)")
        return logs

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = 0,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics over the data, in test mode: a float, a list, or a dict."""
        self._require_compiled("evaluate")
        logs = self._evaluate(adapt(x, y, sample_weight, batch_size))
        if verbose not in (0, "0"):
            print("  ".join(f"{k}: {v:.4f}" for k, v in logs.items()))
        return _plain(logs, return_dict)

    def _evaluate(self, data: Any) -> dict[str, float]:
        mean, count = 0.0, 0
        logs: dict[str, float] = {}
        self._reset_metrics()
        for batch in data.batches():
            with places_of(batch):
                logs = self.test_step(batch)
            count += batch.size
            mean += (logs["loss"] - mean) * batch.size / count
        if count == 0:
            raise ValueError("evaluate: the data gave no batches")
        return {**logs, "loss": mean}

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = 0) -> Any:
        """The outputs for `x` as arrays, in test mode, batch by batch."""
        results = []
        with self._mode(training=False, grad=False):
            for batch in adapt(x, batch_size=batch_size).batches():
                with places_of(batch):
                    results.append(map_nested(np.asarray, self(batch.x)))
        parts = zip(*(list(flatten(r)) for r in results), strict=True)
        joined = iter([np.concatenate(p) for p in parts])
        return map_nested(lambda _: next(joined), results[0])

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as arrays."""
        with self._mode(training=False, grad=False):
            return map_nested(np.asarray, self(map_nested(np.asarray, x)))

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """One update on one batch: the loss, or a list with the metrics."""
        self._require_compiled("train_on_batch")
        self._reset_metrics()
        logs = self.train_step(next(ArrayData(x, y, sample_weight, 2**62).batches()))
        return _plain(logs or {"loss": math.nan}, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics on one batch."""
        self._require_compiled("test_on_batch")
        self._reset_metrics()
        return _plain(self.test_step(next(ArrayData(x, y, sample_weight, 2**62).batches())), return_dict)

    def _reset_metrics(self) -> None:
        for metric in self._metrics or ():
            metric.reset_state()

    def _require_compiled(self, caller: str) -> None:
        if self.optimizer is None or self.loss is None:
            raise ValueError(f"{self.name}.{caller}: call compile(optimizer=..., loss=...) first")


def _plain(logs: dict[str, float], return_dict: bool) -> Any:
    """Loss and metrics as Keras returns them: a float, a list, or a dict."""
    values = list(logs.values())
    return logs if return_dict else values[0] if len(values) == 1 else values
