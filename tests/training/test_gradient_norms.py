"""GradientNorms: against gradients taken at each time step apart, and beside other things that `fit` does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tinygrad_rnn as tg
from tinygrad_rnn import config
from tinygrad_rnn.callbacks import Callback, GradientNorms

STEPS = 6
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((4, STEPS, 2)), RNG.standard_normal((4, 1))


def models(name: str, **options: Any) -> tuple[Any, Any, Any]:
    layer, dense = getattr(tg.layers, name)(3, name="rnn", **options), tg.layers.Dense(1, name="dense")
    model = tg.Sequential([tg.Input((STEPS, 2)), layer, dense])
    model.compile(tg.optimizers.SGD(0.1), "mse")
    return model, layer, dense


def by_hand(layer: Any, dense: Any) -> list[float]:
    """The gradient of the loss for the states after each step: the rest of the sequence as a function of them."""
    layer.return_state, found = True, []
    for t in range(STEPS):
        _, *states = layer(X[:, : t + 1])
        leaves = [tg.tensor(s.numpy(), requires_grad=True) for s in states]
        y = leaves[0] if t == STEPS - 1 else layer(X[:, t + 1 :], initial_state=leaves)[0]
        grads = tg.grad(tg.losses.MeanSquaredError()(Y, dense(y)), leaves)
        found.append(np.sqrt(sum(float((g.numpy() ** 2).sum()) for g in grads if g is not None)))
    layer.return_state = False
    return found


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
def test_norms_are_those_of_the_states(name: str, float64: None) -> None:
    model, layer, dense = models(name)
    measured = GradientNorms()
    for _ in range(2):
        expected = by_hand(layer, dense)
        with tg.unrolled():
            loss = tg.losses.MeanSquaredError()(Y, model(X))
            weights = dict(zip([v.path for v in model.weights], tg.grad(loss, model.weights), strict=True))
        model.fit(X, Y, batch_size=4, epochs=1, verbose=0, callbacks=[measured])
        (line,) = measured.steps["rnn"]
        assert_allclose(line, expected, rtol=1e-10)
        for path, g in weights.items():
            assert_allclose(measured.weights[path], [np.linalg.norm(g.numpy())], rtol=1e-10)
        squares = {
            n: sum((g.numpy() ** 2).sum() for p, g in weights.items() if p.startswith(n))
            for n in ("rnn", "dense")
        }
        assert_allclose(
            [measured.layers[n] for n in squares], np.sqrt([[s] for s in squares.values()]), rtol=1e-10
        )


def test_training_is_the_same_and_the_logs_have_the_norm(float64: None) -> None:
    class Note(Callback):
        def __init__(self) -> None:
            self.logs: list[dict[str, Any]] = []
            self.monitors: list[bool] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.monitors.append(config.mode().monitor is not None)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.logs.append(dict(logs))

    results = []
    for used in ([], [GradientNorms()]):
        tg.utils.set_random_seed(0)
        model, _, _ = models("LSTM", return_sequences=True)
        note = Note()
        model.fit(
            X, np.repeat(Y[:, None], STEPS, 1), batch_size=2, epochs=3, verbose=0, callbacks=[*used, note]
        )
        results.append((model.get_weights(), note))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    note = results[1][1]
    assert note.monitors == [True, False] * 3  # the first batch of an epoch only
    measured = used[0]
    assert [len(v) for v in measured.steps.values()] == [3] and measured.steps["rnn"][0].shape == (STEPS,)
    total = np.sqrt(sum(np.square(v) for v in measured.layers.values()))
    assert_allclose([log["gradient_norm"] for log in note.logs], total)


def test_two_layers_have_a_line_each_and_masks_are_respected() -> None:
    model = tg.Sequential(
        [
            tg.Input((STEPS,)),
            tg.layers.Embedding(5, 3, mask_zero=True),
            tg.layers.Bidirectional(tg.layers.GRU(2, return_sequences=True), name="both"),
            tg.layers.SimpleRNN(2, name="last"),
            tg.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    measured = GradientNorms()
    ids = np.array([[1, 2, 3, 0, 0, 0], [1, 2, 0, 0, 0, 0]])
    model.fit(ids, np.ones((2, 1)), epochs=2, verbose=0, callbacks=[measured])
    assert len(measured.steps) == 3 and all(len(lines) == 2 for lines in measured.steps.values())
    last = measured.steps["last"][0]
    assert last.shape == (STEPS,) and (last > 0).all()
    assert_allclose(last[3:], last[3])  # masked steps hand on what they were given


def test_it_lets_go_when_a_batch_raises_and_leaves_debug_nans_alone() -> None:
    model, _, _ = models("SimpleRNN")
    measured = GradientNorms()
    bad = X.copy()
    bad[0, 0, 0] = np.nan
    for _ in range(2):
        with pytest.raises(FloatingPointError):
            model.fit(bad, Y, verbose=0, callbacks=[measured])
        assert config.mode().monitor is None
    with tg.debug_nans():
        model.fit(X, Y, verbose=0, callbacks=[measured])
    assert measured.steps == {} and measured.weights == {}
    model.fit(X, Y, verbose=0, callbacks=[measured])
    assert list(measured.steps) == ["rnn"]
