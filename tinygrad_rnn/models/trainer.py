"""`Trainer`: compile, fit, evaluate and predict.

Ctrl-C waits for the end of the batch, unless there is a handler for it; wrong data in the first epoch undoes all of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import optimizers
from ..callbacks import History
from ..config import set_random_state
from ..layers.arguments import spelled
from ..layers.states import set_kept_states
from ..layers.symbolic import flatten, map_nested
from ..layers.tracking import states_kept
from ..utils.threads import blas_threads_for
from ..warn import warn
from .compiled import CompileLoss, CompileMetrics, RunningMean
from .data import ArrayData, Batch, Data, adapt, forever, validation_parts
from .loop import Hooks, Snapshot, due, interrupt_between_batches, places_of, whole
from .progress import ProgressBar
from .recordings import Recordings
from .steps import Steps, mode_kept, plain


class Trainer(Steps):
    """What a model can do once it is compiled."""

    loss: Any = None
    stop_training = False
    history: History | None = None
    left_at: tuple[int, dict[str, Any], dict[str, Any]] | None = (
        None  # loaded: next epoch, random and kept states
    )
    # what `Layer` has:
    weights: list[Any]
    built: bool

    @property
    def output_names(self) -> list[str]:
        """What the outputs are called in losses, metrics and logs; empty where only a batch tells."""
        return []

    @spelled
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        on_nonfinite: str = "raise",
    ) -> None:
        """Choose optimizer, losses and metrics, by name, as objects or as functions `f(y_true, y_pred)`.

        With several outputs, `loss`, `loss_weights`, `metrics` and `weighted_metrics` are lists with one entry per
        output, or dicts by the outputs' names; one loss alone counts for all. The weighted losses add up. Sample
        weights count in losses and `weighted_metrics`, masks everywhere. "accuracy", "acc", "crossentropy" and "ce"
        mean what fits the shapes.

        Non-finite gradients never reach the weights: `on_nonfinite="raise"` stops with the op, layer and time step
        where the first non-finite value was born, "skip" leaves the batch out and counts it in `skipped_batches`.
        `jit_compile`: "auto" and True run recurrences as derived loops where they can be derived, False, or
        `run_eagerly=True`, step by step; both hold in training, evaluation and prediction.
        `steps_per_execution` and `auto_scale_loss` are accepted as in Keras, and have nothing to do here.
        Raises `ValueError` for unknown names, with the nearest known one; then nothing is changed.
        """
        switches = {"run_eagerly": run_eagerly, "jit_compile": jit_compile, "on_nonfinite": on_nonfinite}
        if not isinstance(run_eagerly, bool):
            raise ValueError(f"compile: run_eagerly must be True or False, received {run_eagerly!r}")
        if not isinstance(jit_compile, (bool, str)) or jit_compile not in (True, False, "auto"):
            raise ValueError(f"compile: jit_compile must be True, False or 'auto', received {jit_compile!r}")
        if on_nonfinite not in ("raise", "skip"):
            raise ValueError(f"compile: on_nonfinite must be 'raise' or 'skip', received {on_nonfinite!r}")
        if not isinstance(steps_per_execution, int) or steps_per_execution < 1:
            raise ValueError(
                f"compile: steps_per_execution must be at least 1, received {steps_per_execution!r}"
            )
        made_optimizer, names = optimizers.get(optimizer), self.output_names
        made_loss = None if loss is None else CompileLoss(loss, loss_weights, names)
        made_metrics = CompileMetrics(metrics, weighted_metrics, names)
        self.compile_arguments = {
            "loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics,
            **switches,
        }  # fmt: skip
        self.optimizer, self.loss, self._compile_loss = made_optimizer, loss, made_loss
        self._compile_metrics = None if metrics is None and weighted_metrics is None else made_metrics
        self._loss_tracker = RunningMean("loss")
        self.run_eagerly, self.jit_compile, self.on_nonfinite = run_eagerly, jit_compile, on_nonfinite
        self.skipped_batches, self._recordings = 0, Recordings()

    # --- whole data sets ------------------------------------------------------------------------------

    @spelled
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
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Iterable[int] = 1,
        append_history: bool = False,
    ) -> History:
        """Train for `epochs`; returns the `History`, that of the last `fit` continued with `append_history`.

        `x` and `y` are arrays, or lists or dicts of them, with the examples on the first axis; or `x` is a source of
        batches `(x, y)` or `(x, y, sample_weight)`: an iterable, a generator (one pass only; where it ends, training
        does, with a warning), or an object with a length and indices. `validation_data` is `(x, y)`,
        `(x, y, sample_weight)`, `(x,)` where losses need no targets, or such a source.
        The logged loss is the running mean over the epoch's batches, weighted by their sizes, while the
        weights change. `validation_split` holds out the last part of the arrays, before shuffling.
        `steps_per_epoch` batches make an epoch, and the next one goes on where it ended. `validation_freq`: validate
        in every n-th epoch, or in the epochs listed (counted from 1). `class_weight` weighs examples by class.
        Layers that keep states need batches of one size: a short last batch is left out, with a warning.
        Raises `ValueError` before any weight changes if the data does not fit. With `BackupAndRestore` among the
        callbacks a run that was interrupted goes on where its backup was made. The first `fit` of a loaded model
        takes up the random streams and kept states of its file if it begins where that ended (`initial_epoch`);
        otherwise layers that keep states start from zeros, at any batch size.
        """
        self._require_compiled("fit")
        whole("fit", epochs=epochs, initial_epoch=initial_epoch, steps_per_epoch=steps_per_epoch)
        whole("fit", batch_size=batch_size, validation_steps=validation_steps)
        data: Data = adapt(x, y, sample_weight, batch_size, steps_per_epoch)
        held_out: Data | None = None
        if validation_data is not None:
            size = validation_batch_size or batch_size
            held_out = adapt(*validation_parts(validation_data), size, validation_steps)
        elif validation_split:
            if not isinstance(data, ArrayData):
                raise ValueError("fit: validation_split needs arrays; give validation_data")
            data, held_out = data.split(validation_split)
            held_out.batch_size = validation_batch_size or held_out.batch_size
        if class_weight is not None:  # in training alone
            data.weigh(self._by_class(class_weight))
        self._for_kept_states("fit", data, shuffle)
        if held_out is not None:
            self._for_kept_states("fit", held_out)
        before: Snapshot | None = Snapshot(self)
        made = History()
        if append_history and self.history is not None:
            made.epoch = list(self.history.epoch)
            made.history = {name: list(values) for name, values in self.history.history.items()}
        steps = steps_per_epoch or data.steps
        params = {"epochs": epochs, "steps": steps, "verbose": verbose}
        hooks = Hooks(self, [callbacks or [], made, ProgressBar(verbose)], params)
        self.history, self.stop_training = made, False
        if self.left_at is not None and self.left_at[0] == initial_epoch:
            set_random_state(self.left_at[1])
            set_kept_states(self, self.left_at[2])
        self.left_at = None
        stream = forever(data, shuffle) if steps_per_epoch else None
        logs: dict[str, Any] = {}
        with interrupt_between_batches() as interrupted, blas_threads_for(self.weights):
            try:
                hooks.begin()
                initial_epoch, done = hooks.resume_at or (initial_epoch, 0)
                for epoch in range(initial_epoch, epochs):
                    hooks.call("on_epoch_begin", epoch)
                    batches = data.batches(shuffle) if stream is None else itertools.islice(stream, steps)
                    if before is not None and not self.built:
                        batches = before.built(batches)
                    found = self._epoch(batches, steps, hooks, interrupted, done)
                    if found is None and before is not None:
                        raise ValueError("fit: the data gave no batches")
                    if found is None:
                        warn(
                            f"fit: the data ran out before epoch {epoch + 1} of {epochs}; training ends here. A "
                            "generator serves one pass: let it give enough batches for all epochs, with "
                            "steps_per_epoch, or give a Sequence (PyDataset), which serves many",
                        )
                        break
                    logs, done = found, 0
                    if held_out is not None and due(epoch, validation_freq):
                        results = self._evaluate(held_out, validation_steps, hooks)
                        logs = {**logs, **{f"val_{name}": value for name, value in results.items()}}
                        if not results and before is not None:
                            raise ValueError("fit: the validation data gave no batches")
                        if not results:
                            held_out = None
                            warn(
                                f"fit: the validation data ran out before epoch {epoch + 1}; training goes on without. "
                                "A generator serves one pass: give validation_steps, or a Sequence (PyDataset)",
                            )
                    before = None  # every example has been seen, and fits
                    made.ending = epoch, logs
                    hooks.call("on_epoch_end", epoch, logs)
                    if self.stop_training:
                        break
                self.optimizer.finalize_variable_values(self.trainable_weights)
            except (TypeError, ValueError):
                if before is not None:
                    before.restore()
                raise
            finally:
                hooks.end(logs)
        return made

    def _epoch(
        self, batches: Iterator[Batch], steps: int | None, hooks: Hooks, interrupted: Any, done: int
    ) -> dict[str, Any] | None:
        """One pass over the batches but the first `done`, which an interrupted run had finished; None without any."""
        self.reset_metrics()
        logs = self._resume(batches, done, hooks) if done else {}
        seen = done
        for index, batch in enumerate(batches, done):
            hooks.call("on_train_batch_begin", index)
            seen = index + 1
            with places_of(batch):
                logs = self._train_batch(batch)
            hooks.call("on_train_batch_end", index, logs)
            if interrupted.pressed:
                raise KeyboardInterrupt("fit was interrupted; the model is as it was after the last batch")
            if self.stop_training:
                return dict(logs)
        if not seen:
            return None
        if steps is not None and seen < steps:
            warn(f"fit: the data ran out after {seen} of {steps} batches of an epoch")
        return dict(logs)

    @spelled
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics over the data, in test mode: a float, a list in the order of the logs, or a dict.

        Data as in `fit`; `steps` batches of it, if given. The results are printed with `verbose=1` or 2.
        """
        self._require_compiled("evaluate")
        whole("evaluate", batch_size=batch_size, steps=steps)
        data = adapt(x, y, sample_weight, batch_size, steps)
        self._for_kept_states("evaluate", data)
        hooks = Hooks(self, callbacks or [], {"steps": steps or data.steps, "verbose": verbose})
        with blas_threads_for(self.weights):
            logs = self._evaluate(data, steps, hooks)
        if not logs:
            raise ValueError("evaluate: the data gave no batches")
        if verbose not in (0, "0", "auto"):
            print("  ".join(f"{k}: {v:.4f}" for k, v in logs.items()))
        return plain(logs, return_dict)

    def _evaluate(self, data: Data, steps: int | None, hooks: Hooks) -> dict[str, Any]:
        logs: dict[str, Any] = {}
        self.reset_metrics()
        with hooks.aborted():
            hooks.call("on_test_begin")
            for index, batch in enumerate(itertools.islice(data.batches(), steps)):
                hooks.call("on_test_batch_begin", index)
                with places_of(batch):
                    logs = self._test_batch(batch)
                hooks.call("on_test_batch_end", index, logs)
            hooks.call("on_test_end", logs)
        return dict(logs)

    @spelled
    @mode_kept
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for `x` as arrays, in test mode, batch by batch, in the structure that the model gives.

        `x` as in `fit`; `steps` batches of it, if given. `verbose` is accepted, and shows nothing.
        """
        whole("predict", batch_size=batch_size, steps=steps)
        data = adapt(x, batch_size=batch_size, steps=steps)
        n = data.n if isinstance(data, ArrayData) else None
        if isinstance(data, ArrayData) and self._keeps_states():
            data = data.padded()
        hooks = Hooks(self, callbacks or [], {"steps": steps or data.steps, "verbose": verbose})
        results = []
        with hooks.aborted(), self._mode(training=False, grad=False), blas_threads_for(self.weights):
            hooks.call("on_predict_begin")
            for index, batch in enumerate(itertools.islice(data.batches(), steps)):
                hooks.call("on_predict_batch_begin", index)
                with places_of(batch), states_kept(self):
                    results.append(map_nested(np.asarray, self.predict_step(batch.data)))
                hooks.call("on_predict_batch_end", index, {"outputs": results[-1]})
            if not results:
                raise ValueError("predict: the data gave no batches")
        parts = zip(*(list(flatten(r)) for r in results), strict=True)
        joined = iter([np.concatenate(p)[:n] for p in parts])
        hooks.call("on_predict_end")
        return map_nested(lambda _: next(joined), results[0])

    # --- checks ---------------------------------------------------------------------------------------

    def _keeps_states(self) -> bool:
        return any(getattr(layer, "stateful", False) for layer in self.all_layers())

    def _for_kept_states(self, caller: str, data: Data, shuffle: bool = False) -> None:
        """Layers that keep states need batches of one size, and their order."""
        if not isinstance(data, ArrayData) or not self._keeps_states():
            return
        if shuffle and data.steps > 1:
            warn(
                f"{caller}: {self.name} keeps states from batch to batch, but shuffle=True mixes the examples; "
                "give shuffle=False",
            )
        if data.rest:
            warn(
                f"{caller}: {self.name} keeps states, so all batches must have {data.batch_size} examples; the last "
                f"{data.rest} of {data.n} are left out. Give a batch_size that divides the number of examples",
            )
            data.whole_batches = True
