"""Recorded batches with masks: that of each batch counts, by the same bits as when the model is called."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from loss_cases import CASES as LOSSES
from loss_cases import OBJECTS, sample
from recorded import both, fitted, made, silenced
from simple_cases import CASES as SIMPLE

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops

RNG = np.random.default_rng(2)
IDS = RNG.integers(1, 9, (23, 5))
Y = RNG.integers(0, 3, (23, 5))
ENDS = np.arange(5) < RNG.integers(0, 6, (23, 1))
MASKS = {  # what counts, of 23 rows; the second batch, which is recorded, is of the first kind
    "all": np.ones((23, 5), bool),
    "at the end": ENDS,
    "anywhere": RNG.random((23, 5)) < 0.6,
    "a row out": np.arange(23)[:, None] % 4 + np.zeros((1, 5)) > 0,
    "at the front": ENDS[:, ::-1],
    "none": np.zeros((23, 5), bool),
}
PADDED = {name: IDS * mask for name, mask in MASKS.items()}
STEPS = (np.eye(9, 4)[IDS] + 1).astype("float32")
FLOATS = {name: STEPS * mask[..., None] for name, mask in MASKS.items()}


def sequences(make: Callable[..., Any], **options: Any) -> Callable[[], list[Any]]:
    return lambda: [make(4, return_sequences=True, **options)]


def embedding() -> Any:
    return layers.Embedding(9, 4, mask_zero=True)


def chain(*stacks: Any) -> Callable[[], list[Any]]:
    return lambda: [layer for stack in stacks for layer in stack()]


RNNS = sequences(layers.SimpleRNN), sequences(layers.LSTM), sequences(layers.GRU)
STACKS: dict[str, Callable[[], list[Any]]] = {  # layers between the source of the mask and a Dense
    "nothing": lambda: [],
    "rnn": RNNS[0],
    "lstm": RNNS[1],
    "gru": RNNS[2],
    "backwards": sequences(layers.GRU, go_backwards=True),
    "zeros": sequences(layers.LSTM, zero_output_for_mask=True, go_backwards=True),
    "both ways": lambda: [layers.Bidirectional(layers.LSTM(3, return_sequences=True))],
    "both ways, summed": lambda: [
        layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode="sum")
    ],
    "three": chain(*RNNS),
    "cells": lambda: [layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True)],
    "dropout": sequences(layers.LSTM, dropout=0.3, recurrent_dropout=0.2),
    "wide": sequences(layers.LSTM, dtype="float64"),
    "frozen": sequences(layers.GRU, trainable=False),
    "between": chain(
        lambda: [layers.Dropout(0.2), layers.Dense(4, "tanh"), layers.LayerNormalization()],
        RNNS[2],
        lambda: [
            layers.TimeDistributed(layers.Dense(3)),
            layers.Activation("tanh"),
            layers.GaussianNoise(0.1),
        ],
    ),
    "another mask": chain(RNNS[0], lambda: [layers.ReLU(), layers.Masking()], RNNS[1]),
    "averages": chain(
        lambda: [layers.BatchNormalization()],
        RNNS[1],
        lambda: [layers.TimeDistributed(layers.BatchNormalization(momentum=0.5))],
    ),
    "a model inside": lambda: [tg.Sequential([*RNNS[1](), layers.Dense(4)]), *RNNS[2]()],
}
ENDINGS: dict[str, Callable[[], list[Any]]] = {  # one result per row
    "last": lambda: [layers.LSTM(4)],
    "last of both": lambda: [layers.Bidirectional(layers.GRU(3))],
    "last of two": lambda: [*RNNS[1](), layers.SimpleRNN(4)],
    "mean": lambda: [*RNNS[2](), layers.GlobalAveragePooling1D()],
    "means": lambda: [layers.GlobalAveragePooling1D()],
}
SOURCES = {"ids": (embedding, PADDED), "floats": (layers.Masking, FLOATS)}


def model_of(stack: list[Any], recorded: bool, source: Any = embedding, loss: Any = None) -> Any:
    model = tg.Sequential([source(), *stack, layers.Dense(3)])
    loss = loss or tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tg.optimizers.Adam(0.01), loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
    return silenced(model, not recorded)


def batches(x: dict[str, Any], n: int = 8) -> list[Any]:
    """Twice nothing masked, as it is recorded; then all the others."""
    return [x["all"][:n], x["all"][-n:], *[a[k : k + n] for k, a in enumerate(x.values())]]


WITH_FLOATS = ["nothing", "zeros", "both ways", "another mask", "averages", "mean"]


@pytest.mark.parametrize(
    ("source", "name"), [*[("ids", n) for n in (*STACKS, *ENDINGS)], *[("floats", n) for n in WITH_FLOATS]]
)
def test_a_recording_without_masked_steps_runs_with_every_mask(name: str, source: str) -> None:
    make, y = (STACKS[name], Y) if name in STACKS else (ENDINGS[name], Y[:, 0])
    first, x = SOURCES[source]

    def train(model: Any) -> list[Any]:
        return [model.train_on_batch(batch, y[:8]) for batch in batches(x)]

    model, seen = both(lambda r: model_of(make(), r, first), train)
    assert made(model) == [True]
    assert np.isfinite(seen).all() and (seen[-1][0] == 0) == (name in STACKS)


@pytest.mark.parametrize("name", ["gru", "both ways", "dropout", "between", "averages", "a model inside"])
def test_fit_evaluate_and_predict(name: str) -> None:
    """Batches of mixed rows, a smaller one at the end, validation in between."""
    rows = np.concatenate([*PADDED.values()])[::3][:39]
    y, weights = np.concatenate([Y, Y])[:39], RNG.random((39, 5))
    fit = fitted(rows, y, validation_data=(rows[:9], y[:9]), sample_weight=weights)

    def train(model: Any) -> Any:
        return fit(model), model.evaluate(rows, y, verbose=0), model.predict(rows, verbose=0)

    model, (history, _, _) = both(lambda r: model_of(STACKS[name](), r), train)
    assert made(model) == [True, True]
    assert history["loss"][2] != history["loss"][0]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name: str) -> None:
    """Targets under a mask may be anything, also in a later batch."""
    y, p = sample(LOSSES[name][0], (23, 5, 3))
    x = p.astype("float32")
    unknown = {
        n: np.where(m if y.ndim == 2 else m[..., None], y, 7 if y.dtype.kind == "i" else np.nan)
        for n, m in MASKS.items()
    }

    def build(recorded: bool) -> Any:
        real = LOSSES[name][0] == "real"
        model = tg.Sequential(
            [layers.Masking(), layers.Dense(3), layers.Activation("linear" if real else "softmax")]
        )
        model.compile("sgd", OBJECTS[name]())
        return silenced(model, not recorded)

    def train(model: Any) -> list[Any]:
        x_y = [
            (x * MASKS[n][..., None], unknown[n])
            for n in ("all", "all", "at the end", "a row out", "none", "anywhere")
        ]
        return [
            model.train_on_batch(*pair, sample_weight=w)
            for w in (None, np.ones(23), 2.0 * MASKS["anywhere"])
            for pair in x_y
        ]

    model, seen = both(build, train)
    assert made(model) == [name not in ("hinge", "squared_hinge")] * 3  # they look at the labels
    assert np.isfinite(seen).all() and seen[4] == seen[10] == seen[16] == 0


def masked_inputs(case: Any, on: bool) -> list[Any]:
    """The inputs of a case, with zeros where its masks are (or without)."""
    pairs = (
        zip(case.inputs, case.masks, strict=True)
        if isinstance(case.masks, list)
        else [(case.inputs, case.masks)]
    )
    return [
        np.where(True if m is None or not on else m[..., None], a, 0.0).astype("float32") for a, m in pairs
    ]


def rank(value: Any) -> set[int]:
    return {np.ndim(v) for v in (value if isinstance(value, list) else [value]) if v is not None}


WITH_MASKS = [
    (name, k)
    for name, cases in SIMPLE.items()
    for k, case in enumerate(cases)
    if rank(case.masks) == {2} and rank(case.inputs) == {3}
]
NOT_RECORDED = {"Lambda", "ActivityRegularization"}  # a function of the user, a penalty of outputs


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize(("name", "k"), WITH_MASKS)
def test_every_simple_layer_behind_masks(name: str, k: int) -> None:
    case = SIMPLE[name][k]
    several = isinstance(case.inputs, list)
    masks = case.masks if isinstance(case.masks, list) else [case.masks]
    y = np.linspace(0.0, 1.0, 2)

    def build(recorded: bool) -> Any:
        inputs = [tg.Input((5, 4)) for _ in masks]
        masked = [s if m is None else layers.Masking()(s) for s, m in zip(inputs, masks, strict=True)]
        outputs = case.make(layers)(masked if several else masked[0])
        outputs = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        end = layers.SimpleRNN(3) if len(outputs.shape) == 3 else layers.Flatten()
        model = tg.Model(inputs, layers.Dense(1)(end(outputs)))
        model.compile("sgd", "mse")
        return silenced(model, not recorded)

    x = [masked_inputs(case, on) for on in (False, False, True, True, False, True)]
    model, _ = both(build, lambda m: [m.train_on_batch(batch, y) for batch in x])
    assert made(model) == [name not in NOT_RECORDED]


def queries(make: Callable[[], Any]) -> Callable[[Any, Any], Any]:
    return lambda said, asked: make()([asked, said])


ATTENTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "dots": queries(layers.Attention),
    "sums": queries(lambda: layers.AdditiveAttention(dropout=0.2)),
    "causal": lambda said, asked: layers.Attention()([asked, said], use_causal_mask=True),
    "heads": lambda said, asked: layers.MultiHeadAttention(2, 3)(asked, said),
    "heads over both": lambda said, asked: layers.MultiHeadAttention(2, 3, dropout=0.2)(asked, said, said),
    "causal heads": lambda said, asked: layers.MultiHeadAttention(2, 3)(said, said, use_causal_mask=True),
}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention(name: str) -> None:
    def build(recorded: bool) -> Any:
        ids = [tg.Input((5,), dtype="int32"), tg.Input((5,), dtype="int32")]
        said, asked = [layers.GRU(4, return_sequences=True)(embedding()(i)) for i in ids]
        y = layers.Concatenate()([asked, ATTENTIONS[name](said, asked)])
        model = tg.Model(ids, layers.Dense(3)(y))
        loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
        return silenced(model, not recorded)

    kinds = ["all", "all", *MASKS, *reversed(MASKS)]
    x = [[PADDED[a][:8], PADDED[b][:8]] for a, b in zip(kinds, ["all", "all", *sorted(kinds)], strict=False)]
    model, _ = both(build, lambda m: [m.train_on_batch(batch, Y[:8]) for batch in x])
    assert made(model) == [True]


def test_labels_that_are_ignored() -> None:
    loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)
    labels = [np.zeros((8, 5), int), np.ones((8, 5), int), *[np.roll(Y[:8], k) for k in range(4)]]

    def train(model: Any) -> list[Any]:
        x = [PADDED[name][:8] for name in ("all", "at the end", "none")]
        return [model.train_on_batch(batch, y) for batch in x for y in (*labels, np.full((8, 5), 2))]

    model, _ = both(lambda r: model_of(RNNS[2](), r, loss=loss), train)
    plain = tg.Sequential([layers.Dense(3)])
    plain.compile("sgd", loss)
    for k in range(4):
        plain.train_on_batch(np.eye(3)[labels[k]], labels[k])
    assert made(model) == made(plain) == [True]


# --- where values must not steer ---------------------------------------------------------------------------


@pytest.mark.parametrize("trainable", [True, False])
def test_states_that_are_zero_in_the_batch_recorded(trainable: bool) -> None:
    """An encoder that sees nothing gives zeros: these are no zeros in the next batch."""

    def build(recorded: bool) -> Any:
        said, answer = tg.Input((5,), dtype="int32"), tg.Input((5,), dtype="int32")
        table = layers.Embedding(9, 4, mask_zero=True, trainable=trainable)
        _, state = layers.GRU(4, return_state=True, trainable=trainable)(table(said))
        y = layers.GRU(4, return_sequences=True)(embedding()(answer), initial_state=[state])
        model = tg.Model([said, answer], layers.Dense(3)(y))
        model.compile("sgd", tg.losses.SparseCategoricalCrossentropy(from_logits=True))
        return silenced(model, not recorded)

    orders = [(a, b) for a in ("none", "at the end", "all") for b in ("at the front", "anywhere")]
    x = [[PADDED[a][:8], PADDED[b][:8]] for a, b in [("none", "at the front"), *orders, *orders]]
    model, _ = both(build, lambda m: [m.train_on_batch(batch, Y[:8]) for batch in x])
    assert made(model) == [trainable]  # without a gradient only the values tell


def test_states_that_are_inputs() -> None:
    def build(recorded: bool) -> Any:
        ids, state = tg.Input((5,), dtype="int32"), tg.Input((4,))
        y = layers.GRU(4, return_sequences=True)(embedding()(ids), initial_state=[state])
        model = tg.Model([ids, state], layers.Dense(3)(y))
        model.compile("sgd", tg.losses.SparseCategoricalCrossentropy(from_logits=True))
        return silenced(model, not recorded)

    states = np.ones((8, 4), "float32")
    x = [[PADDED["at the front"][:8], states * s] for s in (0, 0, 1, 0, 2)]
    both(build, lambda m: [m.train_on_batch(batch, Y[:8]) for batch in x])


def test_a_mask_that_is_an_input() -> None:
    def build(recorded: bool) -> Any:
        x, mask = tg.Input((5, 4)), tg.Input((5,), dtype="bool")
        y = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(
            layers.GRU(4, return_sequences=True)(x, mask=mask)
        )
        model = tg.Model([x, mask], layers.Dense(3)(y))
        model.compile("sgd", tg.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return silenced(model, not recorded)

    x = [[FLOATS["all"][:8], MASKS[n][:8]] for n in ("all", *MASKS)]
    model, _ = both(build, lambda m: [m.train_on_batch(batch, Y[:8]) for batch in x])
    assert made(model) == [True]


def test_steps_that_are_not_derived() -> None:
    class Reading(layers.Layer):
        """A cell whose values Python reads."""

        state_size = 4

        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight((shape[-1], 4), name="kernel")

        def call(self, x: Any, states: Any) -> Any:
            h = ops.tanh(x @ self.kernel + (0.5 if float(ops.sum(states[0])) > 0 else 0.1) * states[0])
            return h, [h]

    def train(model: Any) -> list[Any]:
        return [model.train_on_batch(batch, Y[:8]) for batch in batches(PADDED)]

    with pytest.warns(tg.bptt.UnrolledWarning):
        model, _ = both(lambda r: model_of([layers.RNN(Reading(), return_sequences=True)], r), train)
    assert made(model) == [False]


# --- changes -----------------------------------------------------------------------------------------------


def unmasked(model: Any) -> None:
    model.layers[0].mask_zero = False


def unsupported(model: Any) -> None:
    model.layers[-1].supports_masking = False


def own_mask(model: Any) -> None:
    model.layers[-1].compute_mask = lambda inputs, mask=None: np.ones(inputs.shape[:2], bool)


def random_mask(model: Any) -> None:
    rng = np.random.default_rng(0)
    model.layers[0].compute_mask = lambda inputs, mask=None: rng.random(inputs.shape) < 0.5


def zeroed(model: Any) -> None:
    model.layers[1].zero_output_for_mask = True


def turned(model: Any) -> None:
    model.layers[1].go_backwards = True


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize(
    "change", [unmasked, unsupported, own_mask, random_mask, zeroed, turned], ids=lambda f: f.__name__
)
def test_a_change_is_seen_in_the_next_batch(change: Callable[[Any], None]) -> None:
    def train(model: Any) -> list[Any]:
        silent = "begin" in vars(model._recordings)
        seen = [model.train_on_batch(batch, Y[:8]) for batch in batches(PADDED)[:6]]
        assert made(model) == [True] * (not silent)
        change(model)
        return seen + [model.train_on_batch(batch, Y[:8]) for batch in batches(PADDED)]

    model, _ = both(lambda r: model_of(RNNS[2](), r), train)
    assert made(model) == [change not in (own_mask, random_mask)]


def test_a_changed_value_of_masking_is_seen() -> None:
    def train(model: Any) -> list[Any]:
        seen = [model.train_on_batch(batch, Y[:8]) for batch in batches(FLOATS)]
        model.layers[0].mask_value = 1.0
        return seen + [model.train_on_batch(batch, Y[:8]) for batch in batches(FLOATS)]

    model, _ = both(lambda r: model_of([], r, layers.Masking), train)
    assert made(model) == [True]


def test_a_class_with_a_users_mask_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute_mask(self: Any, inputs: Any, mask: Any = None) -> Any:
        return mask

    monkeypatch.setattr(layers.GRU, "compute_mask", compute_mask)
    model, _ = both(
        lambda r: model_of(RNNS[2](), r),
        lambda m: [m.train_on_batch(batch, Y[:8]) for batch in batches(PADDED)],
    )
    assert made(model) == [False]


# --- threads, errors ---------------------------------------------------------------------------------------


def test_threads_train_with_their_own_masks() -> None:
    model = model_of(STACKS["both ways"](), True)
    for batch in batches(PADDED)[:3]:
        model.train_on_batch(batch, Y[:8])
    x = [PADDED[name][:8] for name in ("all", "at the end", "anywhere", "none")]

    def step(batch: Any) -> list[Any]:
        with model._mode(training=True, grad=True):
            loss, y, found = model._loss_and_gradients(batch, Y[:8], None)
        return [loss._data, y._data, np.asarray(y._mask), *[found[v._node] for v in model.trainable_weights]]

    expected = [step(batch) for batch in x]
    assert all(np.array_equal(e[2], batch != 0) for e, batch in zip(expected, x, strict=True))
    wrong: list[str] = []

    def work(k: int) -> None:
        for _ in range(20):
            if not all(np.array_equal(a, b) for a, b in zip(step(x[k]), expected[k], strict=True)):
                wrong.append(f"batch {k}")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and made(model) == [True]


def test_wrong_labels_are_named_where_they_count() -> None:
    model = model_of(RNNS[1](), True)
    x, bad = PADDED["at the end"][:8], Y[:8].copy()
    for _ in range(3):
        model.train_on_batch(x, Y[:8])
    row = int(np.argmax(x[:, 0] != 0))
    bad[x == 0] = 99
    model.train_on_batch(x, bad)
    bad[row, 0] = -1
    with pytest.raises(ValueError, match=rf"label: value -1 at position \({row}, 0\) is out of range"):
        model.train_on_batch(x, bad)
