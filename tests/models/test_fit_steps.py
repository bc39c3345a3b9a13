"""The steps of fit: whole or not at all, under the compiled switches, and shown now and then."""

from __future__ import annotations

import io
import re
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.callbacks import Callback, LambdaCallback
from tinygrad_rnn.config import Mode, mode, switched
from tinygrad_rnn.models import load_model, progress


def regression(n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((n, 5, 3)).astype(np.float32)
    return x, x.sum((1, 2)).astype(np.float32)


def small_model(**options: Any) -> Any:
    tg.utils.set_random_seed(3)
    model = tg.Sequential([tg.Input((None, 3)), layers.GRU(4, name="gru"), layers.Dense(1, name="out")])
    model.compile(**{"optimizer": tg.optimizers.Adam(0.03, clipnorm=1.0), "loss": "mse", **options})
    return model


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def same_state(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and same(a.values(), b.values())


# --- whole or not at all --------------------------------------------------------------------------


def test_a_constraint_that_raises_in_fit_changes_nothing() -> None:
    x, y = regression()
    model = tg.Sequential([layers.LSTM(3, stateful=True), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    calls = []

    def refuse(value: np.ndarray) -> np.ndarray:
        calls.append(value)
        raise RuntimeError("no")

    before, state = model.get_weights(), model.optimizer.state()
    kept = [s.numpy() for s in model.layers[0].states]
    model.layers[1].bias.constraint = refuse
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no"):
            model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
        assert same(model.get_weights(), before) and same_state(model.optimizer.state(), state)
        assert same(kept, [s.numpy() for s in model.layers[0].states])
    assert len(calls) == 2
    model.layers[1].bias.constraint = None
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    assert not same(model.get_weights(), before)


class Broken(tg.metrics.Metric):
    """A metric that raises when it is told to."""

    broken = False

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if self.broken:
            raise RuntimeError("the metric")

    def result(self) -> float:
        return 1.0

    def reset_state(self) -> None:
        pass


@pytest.mark.parametrize("accumulated", [None, 2])
@pytest.mark.parametrize("eagerly", [False, True])
def test_an_update_stays_whole_when_a_metric_raises_after_it(eagerly: bool, accumulated: int | None) -> None:
    """Weights, slots, moving averages and kept states are those of a batch whose metric does not raise."""
    x, y = (a[:8] for a in regression())
    found = []
    for broken in (False, True):
        tg.utils.set_random_seed(0)
        metric = Broken()
        model = tg.Sequential([layers.LSTM(3, stateful=True), layers.BatchNormalization(), layers.Dense(1)])
        optimizer = tg.optimizers.Adam(gradient_accumulation_steps=accumulated)
        model.compile(optimizer, "mse", metrics=[metric], run_eagerly=eagerly)
        for _ in range(3):
            metric.broken = False
            model.train_on_batch(x, y)
            metric.broken = broken
            with pytest.raises(RuntimeError, match="the metric") if broken else nullcontext():
                model.train_on_batch(x, y)
        slots = model.optimizer.state()
        found.append([*model.get_weights(), *[s.numpy() for s in model.layers[0].states], *slots.values()])
    assert same(*found)


@pytest.mark.parametrize("call", ["train_on_batch", "test_on_batch", "predict_on_batch", "predict"])
@pytest.mark.parametrize("end", ["__enter__", "__exit__"])
def test_an_interrupt_where_a_block_begins_or_ends_leaves_no_switch_on(
    call: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = regression(4)
    model = small_model()
    given = (x, y) if call in ("train_on_batch", "test_on_batch") else (x,)
    getattr(model, call)(*given)
    real = getattr(switched, end)
    left = [0]

    def interrupted(self: Any, *error: Any) -> None:
        left[0] -= 1
        if end == "__enter__":
            real(self)
        if not left[0]:
            raise KeyboardInterrupt
        if end == "__exit__":
            real(self, *error)

    monkeypatch.setattr(switched, end, interrupted)
    for n in range(1, 1000):
        left[0] = n
        try:
            getattr(model, call)(*given)
        except KeyboardInterrupt:
            assert mode() == Mode(), n
        else:
            break
    assert n > 3


def test_bad_rows_after_many_updates_undo_all_of_them() -> None:
    x, y = regression()
    model = small_model()
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    before, state = model.get_weights(), model.optimizer.state()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"NaN at position \(23,\)"):
            model.fit(x, np.where(np.arange(24) == 23, np.nan, y), batch_size=4, shuffle=False, verbose=0)
        assert same(model.get_weights(), before) and same_state(model.optimizer.state(), state)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_overflows_is_explained_or_skipped(clip: float | None) -> None:
    x, y = regression(4)
    for action in ("raise", "skip"):
        model = small_model(optimizer=tg.optimizers.Adam(0.01, clipnorm=clip), on_nonfinite=action)
        model.train_on_batch(x, y)
        model.layers[1].kernel.assign(np.full((4, 1), 3e38))
        before, state = model.get_weights(), model.optimizer.state()
        if action == "raise":
            with pytest.raises(FloatingPointError, match=r"non-finite gradient of .*op '\w+'") as caught:
                model.train_on_batch(x, y)
            assert caught.value.__suppress_context__  # one traceback, not two
        else:
            assert np.isnan(model.train_on_batch(x, y)) and model.skipped_batches == 1
        assert same(model.get_weights(), before) and same_state(model.optimizer.state(), state)


# --- which weights take part ----------------------------------------------------------------------


def test_layers_are_frozen_and_thawed_between_batches() -> None:
    x, y = regression()
    model = small_model()
    changed: list[tuple[bool, bool]] = []

    class Freeze(Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            model.layers[0].trainable = batch not in (1, 2)
            self.before = model.get_weights()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            parts = [not np.array_equal(a, b) for a, b in zip(self.before, model.get_weights(), strict=True)]
            changed.append((any(parts[:3]), any(parts[3:])))

    model.fit(x, y, batch_size=6, verbose=0, callbacks=[Freeze()])
    assert changed == [(True, True), (False, True), (False, True), (True, True)]


def test_layers_that_come_later_are_trained() -> None:
    x, y = regression()

    class Growing(tg.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = layers.GRU(3)
            self.heads: list[Any] = []

        def call(self, inputs: Any) -> Any:
            h = self.first(inputs)
            return sum((head(h) for head in self.heads[1:]), start=self.heads[0](h))

    model = Growing()
    model.heads.append(layers.Dense(1))
    model.compile("adam", "mse")
    grow = LambdaCallback(
        on_train_batch_begin=lambda batch, logs: model.heads.append(layers.Dense(1)) if batch == 2 else None
    )
    model.fit(x, y, batch_size=6, verbose=0, callbacks=[grow])
    assert [v.shape for v in model.optimizer.variables][-2:] == [(3, 1), (1,)]
    assert len(model.optimizer.variables) == len(model.trainable_weights) == 7
    before = model.get_weights()
    model.heads.pop()
    model.train_on_batch(x, y)
    assert len(model.weights) == 5 and not same(model.get_weights(), before[:5])


def test_an_optimizer_goes_to_another_model() -> None:
    x, y = regression()
    shared = tg.optimizers.SGD(0.05)
    first, second = (small_model(optimizer=shared) for _ in range(2))
    for model in (first, second, first):
        before = model.get_weights()
        model.fit(x, y, verbose=0)
        assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert len(shared.variables) == 10


# --- the switches ---------------------------------------------------------------------------------


def test_the_compiled_switches_are_kept_and_saved(tmp_path: Any) -> None:
    assert (tg.Model.jit_compile, tg.Model.run_eagerly) == ("auto", False)
    model = small_model()
    assert (model.jit_compile, model.run_eagerly) == ("auto", False)
    for jit, eager in ((True, False), (False, True), ("auto", False)):
        model.compile("adam", "mse", jit_compile=jit, run_eagerly=eager)
        assert (model.jit_compile, model.run_eagerly) == (jit, eager)
        model.save(tmp_path / "m.tgr")
        loaded = load_model(tmp_path / "m.tgr")
        assert (loaded.jit_compile, loaded.run_eagerly) == (jit, eager)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jit_compile": "always"}, "jit_compile must be True, False or 'auto', received 'always'"),
        ({"jit_compile": 1}, "jit_compile must be True, False or 'auto', received 1"),
        ({"jit_compile": None}, "jit_compile must be"),
        ({"run_eagerly": "no"}, "run_eagerly must be True or False, received 'no'"),
        ({"run_eagerly": 0}, "run_eagerly must be"),
    ],
)
def test_wrong_switches(options: dict[str, Any], message: str) -> None:
    model = small_model()
    loss = model.loss
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", "mae", **options)
    assert model.loss is loss and model.optimizer.name == "adam"


def test_every_way_to_run_goes_through_the_same_switches(monkeypatch: Any) -> None:
    x, y = regression(4)
    seen: list[tuple[bool, bool]] = []

    class Look(layers.Layer):
        def call(self, inputs: Any) -> Any:
            seen.append((mode().training, mode().grad))
            return inputs

    model = tg.Sequential([Look(), layers.LSTM(2), layers.Dense(1)])
    model.compile("sgd", "mse")
    model(x)  # `fit` would call it once to build it
    asked: list[tuple[bool, bool]] = []
    switches = model._mode

    def watched(training: bool, grad: bool) -> Any:
        asked.append((training, grad))
        return switches(training, grad)

    monkeypatch.setattr(model, "_mode", watched)
    for run, expected in (
        (lambda: model.fit(x, y, verbose=0), (True, True)),
        (lambda: model.train_on_batch(x, y), (True, True)),
        (lambda: model.evaluate(x, y), (False, False)),
        (lambda: model.test_on_batch(x, y), (False, False)),
        (lambda: model.predict(x), (False, False)),
        (lambda: model.predict_on_batch(x), (False, False)),
    ):
        seen.clear(), asked.clear()
        run()
        assert seen == asked == [expected]


# --- the bar --------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_drawn_now_and_then(monkeypatch: Any) -> None:
    x, y = regression()
    monkeypatch.setenv("TERM", "xterm-256color")
    for seconds, drawn in ((0.0, True), (60.0, False)):
        monkeypatch.setattr(progress, "SECONDS", seconds)
        monkeypatch.setattr("sys.stdout", terminal := Terminal())
        small_model().fit(x, y, batch_size=6, epochs=2)
        text = terminal.getvalue()
        assert ("4/4" in text and "━" in text) is drawn
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
        assert re.search(r"Epoch 2/2  \d+\.\d s  loss: \d+\.\d{4}\n", plain)
        assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is shown again
