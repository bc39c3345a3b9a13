"""Callbacks against Keras's: both are fed the same logs with a model that notes what is done to it."""

from __future__ import annotations

import inspect
import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_rnn import callbacks

LEFT_OUT = {  # in Keras only: they need other services, or are `models.loop.Hooks` and `models.progress` here
    "CallbackList", "OrbaxCheckpoint", "ProgbarLogger", "RemoteMonitor", "TensorBoard",
}  # fmt: skip
values = st.one_of(st.floats(-2, 2, width=16), st.sampled_from([0.5, 1.0, math.nan, math.inf]))
logs_of_epochs = st.lists(values, min_size=1, max_size=12)
quick = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Model:
    """Notes what callbacks do. Its weights are the number of the epoch."""

    def __init__(self, learning_rate: float = 0.5) -> None:
        self.stop_training = False
        self.optimizer = SimpleNamespace(learning_rate=learning_rate)
        self.weights: Any = None
        self.saved: list[tuple[str, str, Any]] = []

    def get_weights(self) -> Any:
        return self.weights

    def set_weights(self, weights: Any) -> None:
        self.weights = weights

    def save(self, path: Any, overwrite: bool = True) -> None:
        self.saved.append(("model", str(path).replace(".keras", ".tgr"), self.weights))

    def save_weights(self, path: Any, overwrite: bool = True) -> None:
        self.saved.append(("weights", str(path).replace(".weights.h5", ".weights.tgr"), self.weights))


def both(
    keras: Any, name: str, options: dict[str, Any], theirs: dict[str, Any] | None = None
) -> list[tuple[Any, Model]]:
    made = []
    for module, arguments in ((callbacks, options), (keras.callbacks, options | (theirs or {}))):
        callback, model = getattr(module, name)(**arguments), Model()
        callback.set_model(model)
        made.append((callback, model))
    return made


def epochs(callback: Any, model: Model, logs: list[dict[str, Any]], batches: int = 0) -> list[Any]:
    """What a run of `fit` calls; returns a line for each epoch."""
    callback.set_params({"epochs": len(logs)})
    callback.on_train_begin()
    seen: list[Any] = []
    for epoch, log in enumerate(logs):
        log, model.weights = dict(log), epoch
        callback.on_epoch_begin(epoch)
        for batch in range(batches):
            callback.on_train_batch_begin(batch)
            callback.on_train_batch_end(batch, {"loss": log["loss"]})
        callback.on_epoch_end(epoch, log)
        seen.append((log, model.optimizer.learning_rate, model.stop_training))
        if model.stop_training:
            break
    callback.on_train_end()
    return seen


def same(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)  # NaN is itself


@pytest.mark.parametrize(
    "name", [n for n in callbacks.__all__ if n not in ("GradientNorms", "MonitorCallback")]
)
def test_names_and_defaults_are_those_of_keras(keras: Any, name: str) -> None:
    ours, theirs = (
        {
            p.name: p.default
            for p in inspect.signature(getattr(m, name).__init__).parameters.values()
            if p.kind == 1 and p.name != "self"
        }
        for m in (callbacks, keras.callbacks)
    )
    assert name == "LambdaCallback" or list(ours.items()) == list(theirs.items())
    hooks = {n for n in dir(getattr(keras.callbacks, name)) if n.startswith(("on_", "set_"))}
    assert hooks <= set(dir(getattr(callbacks, name)))


def test_every_callback_of_keras_is_there(keras: Any) -> None:
    theirs = {n for n in dir(keras.callbacks) if inspect.isclass(getattr(keras.callbacks, n))}
    assert theirs - set(callbacks.__all__) == LEFT_OUT


@quick
@given(
    losses=logs_of_epochs,
    mode=st.sampled_from(["auto", "min", "max"]),
    patience=st.integers(0, 3),
    min_delta=st.sampled_from([0, 0.25, -0.25]),
    baseline=st.sampled_from([None, 0.5]),
    restore=st.booleans(),
    start=st.integers(0, 3),
)
def test_early_stopping(
    keras: Any, losses: Any, mode: str, restore: bool, start: int, **options: Any
) -> None:
    options |= {"monitor": "loss", "mode": mode, "restore_best_weights": restore, "start_from_epoch": start}
    logs = [{"loss": v} for v in losses]
    (ours, mine), (theirs, other) = both(keras, "EarlyStopping", options)
    for _ in range(2):
        mine.stop_training = other.stop_training = False
        assert same(epochs(ours, mine, logs), epochs(theirs, other, logs))
        assert mine.weights == other.weights
        assert (ours.stopped_epoch, ours.best_epoch, ours.wait) == (
            theirs.stopped_epoch, theirs.best_epoch, theirs.wait,
        )  # fmt: skip
        assert same(ours.best, theirs.best)


@quick
@given(
    losses=logs_of_epochs,
    mode=st.sampled_from(["auto", "min", "max"]),
    factor=st.sampled_from([0.5, 0.1]),
    patience=st.integers(0, 3),
    min_delta=st.sampled_from([0.0, 1e-4, 0.25]),
    cooldown=st.integers(0, 2),
    min_lr=st.sampled_from([0.0, 0.125]),
)
def test_reduce_on_plateau(keras: Any, losses: Any, **options: Any) -> None:
    logs = [{"loss": v} for v in losses]
    (ours, mine), (theirs, other) = both(keras, "ReduceLROnPlateau", {"monitor": "loss", **options})
    for _ in range(2):
        assert same(epochs(ours, mine, logs), epochs(theirs, other, logs))


@quick
@given(
    losses=logs_of_epochs,
    mode=st.sampled_from(["min", "max"]),
    best_only=st.booleans(),
    weights_only=st.booleans(),
    freq=st.sampled_from(["epoch", 1, 3]),
    threshold=st.sampled_from([None, 0.5]),
)
def test_model_checkpoint(
    keras: Any,
    tmp_path: Path,
    losses: Any,
    mode: str,
    best_only: bool,
    weights_only: bool,
    freq: Any,
    threshold: Any,
) -> None:
    path = f"{tmp_path}/{{epoch:02d}}-{{loss:.2f}}" + ("" if freq == "epoch" else "-{batch}")
    ours_end, theirs_end = (".weights.tgr", ".weights.h5") if weights_only else (".tgr", ".keras")
    options = {
        "filepath": path + ours_end, "monitor": "loss", "mode": mode, "save_best_only": best_only,
        "save_weights_only": weights_only, "save_freq": freq, "initial_value_threshold": threshold,
    }  # fmt: skip
    (ours, mine), (theirs, other) = both(keras, "ModelCheckpoint", options, {"filepath": path + theirs_end})
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Keras learns the direction at the end of the first epoch only, and fails on batches before
            theirs._set_monitor_op() if theirs.monitor_op is None else None
        for callback, model in ((ours, mine), (theirs, other)):
            epochs(callback, model, [{"loss": v} for v in losses], batches=2)
        assert mine.saved == other.saved


@quick
@given(
    rows=st.lists(st.tuples(values, values, st.booleans()), min_size=1, max_size=5),
    separator=st.sampled_from([",", ";"]),
    append=st.booleans(),
)
def test_csv_logger(keras: Any, tmp_path: Path, rows: Any, separator: str, append: bool) -> None:
    logs = [
        {"loss": a, "b": "x", **({"val_loss": b, "many": [1, 2.5]} if more else {})} for a, b, more in rows
    ]
    paths = [tmp_path / "ours.csv", tmp_path / "theirs.csv"]
    for path in paths:
        path.unlink(missing_ok=True)
    options = {"separator": separator, "append": append}
    pairs = both(keras, "CSVLogger", {"filename": paths[0], **options}, {"filename": str(paths[1])})
    for _ in range(2):
        for callback, model in pairs:
            epochs(callback, model, logs)
        assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("schedule", [lambda epoch, rate: rate * 0.5, lambda epoch: 1.0 / (1 + epoch)])
def test_learning_rate_scheduler(keras: Any, schedule: Any) -> None:
    (ours, mine), (theirs, other) = both(keras, "LearningRateScheduler", {"schedule": schedule})
    for _ in range(2):
        logs = [{"loss": 1.0}] * 4
        assert same(epochs(ours, mine, logs), epochs(theirs, other, logs))


@quick
@given(losses=logs_of_epochs, raise_error=st.booleans())
def test_terminate_on_nan(keras: Any, losses: Any, raise_error: bool) -> None:
    results: list[Any] = []
    for callback, model in both(keras, "TerminateOnNaN", {"raise_error": raise_error}):
        try:
            results.append(epochs(callback, model, [{"loss": v} for v in losses], batches=2))
        except RuntimeError:
            results.append("raised")
    assert same(*results)


def test_lambda_callback(keras: Any) -> None:
    for hook in [n for n in dir(callbacks.Callback) if n.startswith("on_")]:
        seen: list[list[Any]] = []
        for module in (callbacks, keras.callbacks):
            called: list[Any] = []
            numbered = "batch" in hook or "epoch" in hook
            function = (
                (lambda n, logs, c=called: c.append((n, logs)))
                if numbered
                else (lambda logs, c=called: c.append(logs))
            )
            made = module.LambdaCallback(**{hook: function})
            getattr(made, hook)(*([3] if numbered else []), {"loss": 1.0})
            seen.append(called)
        assert seen[0] == seen[1] and len(seen[0]) == 1
