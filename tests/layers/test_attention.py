"""Attention layers: values, weights and gradients against Keras and formulas in PyTorch; masks; symbols."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from keras_twins import (
    FLOAT32,
    assert_close,
    check_config,
    check_formula,
    check_keras,
    check_numerically,
    data,
    keras,
    pair,
    torch,
)

import tinygrad_rnn as tg
from tinygrad_rnn import layers

MASK = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]], bool)
OTHER = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]], bool)
SCORES = {"return_attention_scores": True}
CAUSAL = {"use_causal_mask": True}
SAME = [(3, 4, 5), (3, 4, 5)]
# name, options, shapes, call arguments; the inputs are one list
SINGLE = [
    ("Attention", {}, [(3, 4, 5), (3, 6, 5)], {}),
    ("Attention", {"use_scale": True}, [(3, 4, 5), (3, 6, 2), (3, 6, 5)], SCORES | CAUSAL),
    ("Attention", {"use_scale": True, "score_mode": "concat"}, SAME, SCORES | {"mask": [OTHER, MASK]}),
    ("Attention", {"score_mode": "concat"}, [(3, 4, 5), (3, 6, 5)], {"training": True}),
    ("Attention", {}, SAME, {"mask": [None, MASK]} | CAUSAL),
    ("Attention", {}, SAME, {"mask": [MASK, None]} | SCORES),
    ("AdditiveAttention", {}, [(3, 4, 5), (3, 6, 2), (3, 6, 5)], SCORES),
    ("AdditiveAttention", {"use_scale": False}, SAME, {"mask": [OTHER, MASK]} | SCORES | CAUSAL),
    ("AdditiveAttention", {}, SAME, {"mask": [None, MASK]} | CAUSAL),
]
H = {"num_heads": 2, "key_dim": 3}
LOWER = np.tri(4, dtype=bool)[None].repeat(3, 0)
HEADS = [
    (H, [(3, 4, 5), (3, 6, 7)], {}),
    (H | {"value_dim": 4, "output_shape": 2}, [(3, 4, 5), (3, 6, 7), (3, 6, 2)], SCORES),
    (H | {"use_bias": False, "output_shape": (2, 3)}, SAME, {"value_mask": MASK} | CAUSAL),
    (H | {"sliding_window": 2}, SAME, {"key_mask": MASK} | SCORES),
    (H | {"value_dim": 4, "use_gate": True}, SAME, {"attention_mask": LOWER}),
    (H | {"sliding_window": 2}, SAME, SCORES | CAUSAL),
    (H | {"attention_axes": 2}, [(3, 2, 4, 5), (3, 2, 6, 5)], SCORES),
    (H | {"attention_axes": (1, 3)}, [(3, 2, 4, 3, 5)] * 2, SCORES),
    (
        H | {"attention_axes": (1,)},
        [(3, 2, 4, 5), (3, 3, 4, 5)],
        {"attention_mask": np.tri(2, 3, dtype=bool)[None].repeat(3, 0)} | SCORES,
    ),
    (H, [(3, 2, 4, 5), (3, 3, 2, 5)], SCORES),
]


@pytest.mark.parametrize(("name", "options", "shapes", "call"), SINGLE)
def test_keras(name: str, options: Any, shapes: Any, call: Any) -> None:
    check_keras(name, options, shapes, call, joined=True)


@pytest.mark.parametrize(("options", "shapes", "call"), HEADS)
def test_multi_head_keras(options: Any, shapes: Any, call: Any) -> None:
    check_keras("MultiHeadAttention", options, shapes, call, rtol=2 * FLOAT32)
    if call.get("return_attention_scores"):  # on this way Keras computes in float64
        check_keras("MultiHeadAttention", options, shapes, call, dtype="float64", rtol=1e-9)


@pytest.mark.parametrize(("name", "options", "shapes", "call"), SINGLE)
def test_numeric_gradients_and_configuration(name: str, options: Any, shapes: Any, call: Any) -> None:
    check_config(getattr(layers, name)(**options))
    first = [(2, *shape[1:]) for shape in shapes]
    call = {k: [m if m is None else m[:2] for m in v] if k == "mask" else v for k, v in call.items()}
    check_numerically(Only(name, options, call), first, joined=True)


@pytest.mark.parametrize(("options", "shapes", "call"), [HEADS[1], HEADS[4], HEADS[8]])
def test_multi_head_numeric_gradients(options: Any, shapes: Any, call: Any) -> None:
    check_numerically(Only("MultiHeadAttention", options, call), shapes, joined=True)


@pytest.mark.parametrize(("options", "_shapes", "_call"), HEADS)
def test_multi_head_configuration(options: Any, _shapes: Any, _call: Any) -> None:
    check_config(layers.MultiHeadAttention(**options))


class Only(tg.Layer):
    """The output of a layer with fixed call arguments, without the weights of attention."""

    def __init__(self, name: str, options: Any, call: Any) -> None:
        super().__init__(dtype="float64")
        self.inner = getattr(layers, name)(**options, dtype="float64")
        self._given = call

    def call(self, inputs: Any) -> Any:
        y = self.inner(inputs, **self._given)
        return y[0] if isinstance(y, tuple) else y


def allow(scores: Any, allowed: Any) -> Any:
    return scores if allowed is None else scores.masked_fill(~torch.tensor(allowed), -1e9)


def luong(value_mask: Any = None, query_mask: Any = None, scaled: bool = False) -> Any:
    def formula(xs: Any, w: Any) -> Any:
        scores = torch.einsum("bqf,bkf->bqk", xs[0], xs[-1]) * (w[0] if scaled else 1.0)
        p = torch.softmax(allow(scores, None if value_mask is None else value_mask[:, None]), -1)
        y = torch.einsum("bqk,bkf->bqf", p, xs[1])
        return y if query_mask is None else torch.where(torch.tensor(query_mask)[..., None], y, 0.0)

    return formula


def bahdanau(xs: Any, w: Any) -> Any:
    scores = (w[0] * torch.tanh(xs[0][:, :, None] + xs[-1][:, None])).sum(-1)
    return torch.softmax(scores, -1) @ xs[1]


def heads(allowed: Any = None) -> Any:
    def formula(xs: Any, w: Any) -> Any:
        wq, bq, wk, bk, wv, bv, wo, bo = w
        q = torch.einsum("btf,fhk->bhtk", xs[0], wq) + bq[:, None]
        k = torch.einsum("btf,fhk->bhtk", xs[-1], wk) + bk[:, None]
        v = torch.einsum("btf,fhk->bhtk", xs[1], wv) + bv[:, None]
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        p = torch.softmax(allow(scores, None if allowed is None else allowed[:, None]), -1)
        return torch.einsum("bhtk,hkf->btf", p @ v, wo) + bo

    return formula


@pytest.mark.parametrize(
    ("layer", "formula", "shapes", "call"),
    [
        (layers.Attention(dtype="float64"), luong(), [(3, 4, 5), (3, 6, 2), (3, 6, 5)], {}),
        (
            layers.Attention(use_scale=True, dtype="float64"),
            luong(MASK, OTHER, True),
            SAME,
            {"mask": [OTHER, MASK]},
        ),
        (layers.AdditiveAttention(dtype="float64"), bahdanau, [(3, 4, 5), (3, 6, 2), (3, 6, 5)], {}),
    ],
)
def test_float64_formula(layer: Any, formula: Any, shapes: Any, call: Any) -> None:
    check_formula(layer, formula, shapes, call, joined=True)


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        ({}, None),
        ({"value_mask": MASK, "key_mask": OTHER}, (MASK & OTHER)[:, None, :].repeat(4, 1)),
        (CAUSAL, LOWER),
        ({"attention_mask": LOWER, "key_mask": MASK}, LOWER & MASK[:, None]),
    ],
)
def test_multi_head_float64_formula(call: Any, allowed: Any) -> None:
    check_formula(layers.MultiHeadAttention(**H, value_dim=4, dtype="float64"), heads(allowed), SAME, call)


# --- masks ----------------------------------------------------------------------------------------

IDS = np.array([[1, 2, 0, 3], [1, 0, 0, 0], [1, 1, 2, 2]])
VALUES = np.array([[1, 2, 3, 0], [2, 2, 0, 0], [4, 1, 1, 1]])


def embedded() -> tuple[list[Any], list[Any]]:
    """Masked sequences, ours and Keras's: query and value."""
    (table,) = data([(5, 6)], "float32")
    ours = [layers.Embedding(5, 6, mask_zero=True, weights=table)(ids) for ids in (IDS, VALUES)]
    layer = keras.layers.Embedding(5, 6, mask_zero=True)
    layer.build()
    layer.set_weights([table])
    return ours, [layer(ids) for ids in (IDS, VALUES)]


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention", "MultiHeadAttention"])
def test_masks_that_the_inputs_carry(name: str) -> None:
    joined = name != "MultiHeadAttention"
    options = {} if joined else H
    ours, theirs = pair(name, options, data([(3, 4, 6)] * 2, "float32"), joined)
    for _ in range(2):
        mine, twin = embedded()  # anew: Keras takes the masks off the inputs
        got = ours(mine, **SCORES) if joined else ours(*mine, **SCORES)
        want = theirs(twin, **SCORES) if joined else theirs(*twin, **SCORES)
        assert_close(list(got), [w.detach() for w in want], FLOAT32)
        np.testing.assert_array_equal(got[0]._mask, IDS != 0)
        np.testing.assert_array_equal(got[0]._mask, want[0]._keras_mask)
        plain = [np.asarray(x) for x in mine]
        other = ours(plain, **SCORES) if joined else ours(*plain, **SCORES)
        assert getattr(other[0], "_mask", None) is None
        assert not np.allclose(other[1], got[1])


def test_given_masks_go_before_carried_ones() -> None:
    (query, value), _ = embedded()
    layer = layers.MultiHeadAttention(**H)
    y, p = layer(query, value, value_mask=np.ones_like(IDS), **SCORES)
    np.testing.assert_array_equal(y._mask, IDS != 0)
    p = p.numpy()
    assert (p[:, :, 0] > 0).all()  # nothing of the value is hidden
    assert (p.sum(1)[IDS == 0] == 0).all()  # but the query's own mask holds
    _, q = layer(query, value, query_mask=np.ones_like(IDS), **SCORES)
    np.testing.assert_array_equal(q.numpy().sum((1, 2)) > 0, VALUES != 0)
    _, r = layer(query, value, np.asarray(value), **SCORES)  # a key without a mask
    np.testing.assert_array_equal(r.numpy().sum((1, 2)) > 0, VALUES != 0)


@pytest.mark.parametrize("scores", [False, True])
def test_a_query_that_may_look_at_nothing(scores: bool) -> None:
    layer = layers.MultiHeadAttention(**H, dtype="float64")
    x, y = (tg.tensor(v, requires_grad=True) for v in data(SAME))
    mask = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], bool)
    out = layer(x, y, value_mask=mask, return_attention_scores=scores)
    out = out[0] if scores else out
    np.testing.assert_array_equal(out[0], np.zeros((4, 5)))  # the output's bias is 0
    g = tg.grad(out.sum(), [x, y])
    assert np.isfinite(g[0]).all() and (g[1].numpy()[0] == 0).all() and (g[1].numpy()[1] != 0).any()


def test_functional_models_with_masks_and_saving(tmp_path: Any) -> None:
    query, value = (layers.Input((None,), dtype="int32", name=n) for n in ("query", "value"))
    table = layers.Embedding(5, 6, mask_zero=True)
    q, v = table(query), table(value)
    heads = layers.MultiHeadAttention(**H)
    y, weights = heads(query=q, value=v, **SCORES)
    assert y.shape == (None, None, 6) and weights.shape == (None, 2, None, None)
    y = layers.LayerNormalization()(y)
    y = layers.Attention()([y, v])
    model = tg.Model([query, value], [layers.GlobalAveragePooling1D()(y), weights])
    pooled, p = model.predict([IDS, VALUES])
    direct, q_weights = heads(table(IDS), table(VALUES), **SCORES)
    np.testing.assert_allclose(p, q_weights, rtol=1e-6)
    expected = layers.Attention()([model.layers[2](direct), table(VALUES)]).numpy()
    rows = [expected[i, ids != 0].mean(0) for i, ids in enumerate(IDS)]
    np.testing.assert_allclose(pooled, rows, rtol=1e-5, atol=1e-7)
    model.save(tmp_path / "model.tgr")
    again = tg.models.load_model(tmp_path / "model.tgr")
    for a, b in zip(again.predict([IDS, VALUES]), (pooled, p), strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_in_a_model() -> None:
    start = layers.Input((None, 6))
    y = layers.MultiHeadAttention(**H, dropout=0.1, seed=1)(start, start)
    model = tg.Model(start, layers.Dense(1)(layers.GlobalAveragePooling1D()(y)))
    model.compile("adam", "mse")
    (x,) = data([(8, 5, 6)], "float32")
    history = model.fit(x, x.mean((1, 2))[:, None], epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    np.testing.assert_allclose(model.predict(x[:, :3]), model(x[:, :3]), rtol=1e-6)


# --- dropout, errors ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention", "MultiHeadAttention"])
def test_dropout_of_the_weights(name: str) -> None:
    x = np.ones((2, 50, 4), np.float32)
    options = {"num_heads": 1, "key_dim": 2} if name == "MultiHeadAttention" else {}
    layer, twin = (getattr(layers, name)(**options, dropout=0.5, seed=3) for _ in range(2))
    inputs = (x, x) if options else ([x, x],)
    layer(*inputs), twin(*inputs)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(*inputs), layer(*inputs, training=False))
    first = layer(*inputs, training=True).numpy()
    np.testing.assert_array_equal(first, twin(*inputs, training=True))
    assert not np.array_equal(first, layer(*inputs, training=True))
    assert not np.allclose(first, layer(*inputs))
    if name == "Attention":
        weights = layer(*inputs, training=True, **SCORES)[1].numpy()
        assert 0.4 < (weights == 0).mean() < 0.6
        np.testing.assert_allclose(weights[weights > 0], 2 / 50, rtol=1e-6)


ONES = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.Attention(score_mode="add"), "score_mode must be 'dot' or 'concat', received 'add'"),
        (lambda: layers.Attention(dropout=2), "Attention: dropout must be in"),
        (lambda: layers.Attention(name="a")(ONES), r"a: expected \[query, value\]"),
        (lambda: layers.Attention(name="a")([ONES]), r"a: expected \[query, value\]"),
        (
            lambda: layers.Attention(name="a")([ONES, ONES[:1]]),
            "a: query, value and key must be of one batch",
        ),
        (lambda: layers.Attention(name="a")([ONES, ONES, ONES[:, :2]]), "a: .*key and value of one length"),
        (lambda: layers.Attention(name="a")([ONES, ONES[..., :2]]), "a: query and key must have the same"),
        (
            lambda: layers.Attention(name="a")([ONES, ONES], mask=[None, np.ones((2, 4))]),
            r"a: expected a mask of shape \(2, 3\) for the value, received \(2, 4\)",
        ),
        (lambda: layers.MultiHeadAttention(0, 2), "num_heads must be a positive integer, received 0"),
        (lambda: layers.MultiHeadAttention(2, 2.5), "key_dim must be a positive integer, received 2.5"),
        (lambda: layers.MultiHeadAttention(2, 2, sliding_window=0), "sliding_window must be a positive"),
        (lambda: layers.MultiHeadAttention(2, 2, name="m")(ONES), r"m: expected \[query, value\]"),
        (
            lambda: layers.MultiHeadAttention(2, 2, attention_axes=5, name="m")(ONES, ONES),
            "m: attention_axes",
        ),
        (
            lambda: layers.MultiHeadAttention(2, 2, name="m")(ONES, ONES, attention_mask=np.ones((2, 3, 4))),
            r"m: the masks together have shape \(2, 3, 4\).*\(2, 2, 3, 3\)",
        ),
        (
            lambda: layers.MultiHeadAttention(2, 2, name="m")(ONES, ONES, key_mask=np.ones((2, 4))),
            r"m: expected a mask of shape \(2, 3\) for the key",
        ),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_other_features_than_at_first_are_refused() -> None:
    layer = layers.MultiHeadAttention(2, 2, name="m")
    layer(ONES, ONES)
    with pytest.raises(ValueError, match=r"m: expected \(4, 4, 4\) features.*received \(4, 2, 2\)"):
        layer(ONES, ONES[..., :2])
