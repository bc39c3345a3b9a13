"""`Steps`: what happens to one batch, in parts that a subclass can override: Keras's `train_step` and so on.

An update happens as a whole or not at all: gradients are checked before any weight changes, and what raises after it,
such as a metric, leaves all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from .. import optimizers
from ..config import debug_nans, mode, switched
from ..core.autodiff import leaf_gradients
from ..core.tensor import Tensor, Variable
from ..layers.symbolic import flatten, map_nested
from ..layers.tracking import put_back, states_kept
from ..metrics import Metric
from ..utils.packing import unpack_x_y_sample_weight
from .compiled import CompileLoss, CompileMetrics, RunningMean
from .data import Batch, one_batch, weighted
from .loop import bad_input, places_of
from .recordings import Recordings

# Around all others: an interrupt just as a block inside ends must not leave its switches on.
mode_kept = switched()


class Steps:
    """The steps of training, evaluation and prediction.

    A subclass may override `train_step(data)`, `test_step(data)`, `predict_step(data)`, `compute_loss` and
    `compute_metrics`. `data` is what `fit` got for one batch: `x`, `(x, y)` or `(x, y, sample_weight)`, as
    arrays. A step runs in training mode with gradients recorded (or without, in test mode), and returns a dict of
    numbers for the logs: means over the epoch so far, as metrics hold them, for what it returns is logged as it
    is. Gradients come from `tg.grad`, or from `self.zero_grad()` and `loss.backward()`, which leaves them in
    `w.grad`, as with Keras on torch. Metrics that are attributes are reset at the beginning of each epoch. If a
    step raises before its update, weights and kept states are as they were; if a metric raises after it, the update
    stays, with the states. A gradient that is not finite ends in `compile(on_nonfinite=...)`.

    >>> import tinygrad_rnn as tg
    >>> class Noisy(tg.Sequential):
    ...     def train_step(self, data):
    ...         x, y, sample_weight = tg.utils.unpack_x_y_sample_weight(data)
    ...         y_pred = self(x + 0.1 * tg.random.normal(x.shape))
    ...         loss = self.compute_loss(x, y, y_pred, sample_weight)
    ...         variables = self.trainable_weights
    ...         self.optimizer.apply(tg.grad(loss, variables), variables)
    ...         self.metrics[0].update_state(loss, len(x))  # the mean loss comes first
    ...         return self.compute_metrics(x, y, y_pred, sample_weight)
    >>> model = Noisy([tg.layers.GRU(3), tg.layers.Dense(1)])
    >>> model.compile("adam", "mse", metrics=["mae"])
    >>> history = model.fit(np.ones((8, 5, 2)), np.ones(8), epochs=2, verbose=0)
    >>> {name: len(values) for name, values in history.history.items()}
    {'loss': 2, 'mae': 2}
    """

    optimizer: Any = None
    skipped_batches = 0
    run_eagerly = False
    jit_compile: bool | str = "auto"
    on_nonfinite = "raise"
    _loss_tracker: RunningMean | None = None
    _compile_loss: CompileLoss | None = None
    _compile_metrics: CompileMetrics | None = None
    _recordings: Recordings
    # what `Layer` has:
    trainable_weights: list[Any]
    losses: list[Any]
    all_layers: Callable[[], list[Any]]
    __call__: Callable[..., Any]
    name: str
    _look: Callable[[], Any]
    _warn_once: Callable[[str], None]
    _held_states: Callable[[], list[tuple[Any, Any]]]

    # --- what subclasses may override -------------------------------------------------------------------

    def train_step(self, data: Any) -> dict[str, Any]:
        """Forward, backward and update on one batch; returns the metrics."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        loss, y_pred, found = self._loss_and_gradients(x, y, sample_weight)
        variables, gradients = self._gradients(found)
        if any(g is not None for g in gradients):
            self.optimizer.apply(gradients, variables)
        elif not self.trainable_weights:
            self._warn_once(
                f"{self.name} does not have any trainable weights: nothing is trained. Set trainable = True on it, or "
                "on the layers that should be"
            )
        self._record(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Loss and metrics on one batch, without training."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x)
        self._record(self.compute_loss(x, y, y_pred, sample_weight, training=False), x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for one batch."""
        return self(unpack_x_y_sample_weight(data)[0])

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The compiled loss plus all penalties; `ValueError` if there is neither."""
        total = None if self._compile_loss is None else self._compile_loss(y, y_pred, sample_weight)
        for penalty in self.losses:
            total = penalty if total is None else total + penalty
        if total is None:
            raise ValueError(f"{self.name}: there is no loss; give one to compile, or use add_loss")
        return total  # type: ignore[no-any-return]

    def compute_metrics(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Add one batch to the compiled metrics; returns all results so far."""
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    # --- metrics ------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Any]:
        """The mean loss, metrics that are attributes, means of the outputs' losses, and the compiled metrics."""
        own: list[Any] = [] if self._loss_tracker is None else [self._loss_tracker]
        own += [m for m in self._look().of(Metric) if m is not self._compile_metrics]
        if self._compile_loss is not None:
            own += self._compile_loss.shown
        if self._compile_metrics is not None:
            own.append(self._compile_metrics)
        return list({id(m): m for m in own}.values())

    @property
    def metrics_names(self) -> list[str]:
        """The names in the logs; those of compiled metrics are known after the first batch."""
        return list(self.get_metrics_result())

    def get_metrics_result(self) -> dict[str, Any]:
        """The results of all metrics so far, by name."""
        results: dict[str, Any] = {}
        for metric in self.metrics:
            result = metric.result()
            results |= result if isinstance(result, dict) else {metric.name: result}
        return results

    def reset_metrics(self) -> None:
        """Start all metrics anew."""
        for metric in self.metrics:
            metric.reset_state()

    def _record(self, loss: Any, x: Any) -> None:
        """Add a batch's loss, and the losses of its outputs, to their means."""
        size = len(next(flatten(x)))
        if self._loss_tracker is not None:
            self._loss_tracker.update_state(loss, size)
        if self._compile_loss is not None:
            self._compile_loss.record(size)

    # --- single batches ---------------------------------------------------------------------------------

    @mode_kept
    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as arrays."""
        with self._mode(training=False, grad=False), states_kept(self):
            return map_nested(np.asarray, self.predict_step(one_batch(x).data))

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One update on one batch: the loss before it, or a list or dict with the metrics."""
        self._require_compiled("train_on_batch")
        self.reset_metrics()
        batch = one_batch(x, y, sample_weight)
        with places_of(batch):
            logs = self._train_batch(batch if class_weight is None else self._by_class(class_weight)(batch))
        return plain(logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics on one batch."""
        self._require_compiled("test_on_batch")
        self.reset_metrics()
        batch = one_batch(x, y, sample_weight)
        with places_of(batch):
            logs = self._test_batch(batch)
        return plain(logs, return_dict)

    def _by_class(self, class_weight: Mapping[int, float]) -> Callable[[Batch], Batch]:
        """What gives a batch the weights of its classes."""
        one_hot = None if self._compile_loss is None else self._compile_loss.one_hot
        return partial(weighted, class_weight=class_weight, one_hot=one_hot)

    def _require_compiled(self, caller: str) -> None:
        if self.optimizer is None:
            raise ValueError(f"{self.name}.{caller}: call compile(optimizer=..., loss=...) first")

    # --- how they are run ---------------------------------------------------------------------------------

    def _mode(self, training: bool, grad: bool) -> switched:
        """The switches under which the model runs: recurrences in derived mode, unless `compile` said otherwise."""
        derive = not self.run_eagerly and self.jit_compile is not False
        return switched(training=training, grad=grad, derive=derive)

    @mode_kept
    def _train_batch(self, batch: Batch) -> dict[str, Any]:
        """`train_step`, after which all is done or nothing: kept states go back if it raises before the update."""
        kept, bad, calls = self._held_states(), None, self.optimizer.calls
        try:
            with self._mode(training=True, grad=True):
                return numbers(self.train_step(batch.data), "train_step")
        except optimizers.NonFiniteGradient as error:
            bad = error.path
        except BaseException:
            if self.optimizer.calls == calls:
                put_back(kept)
            raise
        put_back(kept)
        try:
            if self.on_nonfinite == "raise":
                self._explain_nonfinite(batch, bad)
        finally:
            put_back(kept)
        self.skipped_batches += 1
        return self.get_metrics_result()

    def _made_by(self, batch: Batch) -> None:
        """Let a batch make the weights, and nothing else; what a `train_step` of one's own calls is not known."""
        if type(self).train_step is Steps.train_step:
            kept = self._held_states()
            with self._mode(training=False, grad=False), places_of(batch):
                self(batch.x)
            put_back(kept)

    @mode_kept
    def _test_batch(self, batch: Batch) -> dict[str, Any]:
        with self._mode(training=False, grad=False), states_kept(self):
            return numbers(self.test_step(batch.data), "test_step")

    def _resume(self, batches: Iterator[Batch], done: int, hooks: Any) -> dict[str, Any]:
        """Pass `done` batches that an interrupted run had finished, and take up its metrics; returns their results.

        Metrics are made by a batch: here by the last of these, in test mode.
        """
        batch = None
        for _ in range(done):
            batch = next(batches, None)
        if batch is None:
            raise ValueError(f"fit: the data ends before the batch {done}, from which training should go on")
        kept = self._held_states()
        self._test_batch(batch)
        put_back(kept)
        self.reset_metrics()
        hooks.call("on_resume")
        return numbers(self.get_metrics_result(), "a metric")

    def _loss_and_gradients(self, x: Any, y: Any, sample_weight: Any) -> tuple[Tensor, Any, dict[Any, Any]]:
        """Loss, outputs and the gradient of every leaf: by a recording of such a batch, or by calling the model."""
        data = (x, y) if sample_weight is None else (x, y, sample_weight)
        again = self._recordings.run(data) if mode().derive else None
        if again is not None:
            return again
        before = self._recordings.begin(self, data) if mode().derive else None
        start = time.perf_counter()
        y_pred = self(x)
        loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
        found = leaf_gradients(loss) if loss.requires_grad else {}
        if before is not None and time.perf_counter() - start < before.limit:
            self._recordings.record(self, data, loss, found, before)
        return loss, y_pred, found

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
        if type(self).train_step is Steps.train_step:
            try:
                with debug_nans(), self._mode(training=True, grad=True):
                    y_pred = self(batch.x)
                    leaf_gradients(self.compute_loss(batch.x, batch.y, y_pred, batch.sample_weight))
            except FloatingPointError as error:
                raise FloatingPointError(f"non-finite gradient of {path}: {error}; {remedy}") from None
        raise FloatingPointError(f"non-finite gradient of {path}; {remedy}")


def numbers(logs: Any, step: str) -> dict[str, Any]:
    """What a step returned as plain floats, or arrays; `TypeError` if it is not a dict."""
    if not isinstance(logs, dict):
        raise TypeError(f"{step} must return a dict of numbers, received {type(logs).__name__}")
    found: dict[str, Any] = {}
    for name, value in logs.items():  # a dict is what the compiled metrics give
        found |= numbers(value, step) if isinstance(value, dict) else {name: _number(value)}
    return found


def _number(value: Any) -> Any:
    if type(value) is float:
        return value
    array = np.asarray(value)
    return float(array) if array.size == 1 else array


def plain(logs: dict[str, float], return_dict: bool) -> Any:
    """Loss and metrics as Keras returns them: a float, a list, or a dict."""
    values = list(logs.values())
    return logs if return_dict else values[0] if len(values) == 1 else values
