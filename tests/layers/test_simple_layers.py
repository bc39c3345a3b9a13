"""The layers without recurrence against Keras: values, masks, penalties, gradients and arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from configurations import inside
from every_layer import double, required
from hypothesis import given, settings
from hypothesis import strategies as st
from simple_cases import ALL, CASES, FLAT, MASK, SECOND, SEQUENCE, Case

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.layers import LAYERS
from tinygrad_rnn.layers.layer import Layer

every_case = pytest.mark.parametrize(("name", "number"), ALL, ids=[f"{n}-{i}" for n, i in ALL])


@pytest.fixture
def keras64(keras: Any) -> Iterator[Any]:
    """Keras on PyTorch, with float64 as its default."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield keras
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(before)


def leaves(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def like(case: Case, values: list[Any]) -> Any:
    return values if isinstance(case.inputs, list) else values[0]


def our_inputs(case: Case) -> list[tg.Tensor]:
    """New tensors with their masks."""
    masks = leaves(case.masks) if case.masks is not None else [None] * 3
    found = [tg.tensor(x, requires_grad=x.dtype.kind == "f") for x in leaves(case.inputs)]
    for x, mask in zip(found, masks, strict=False):
        if mask is not None:
            x._mask = mask
    return found


def their_inputs(case: Case) -> list[Any]:
    import torch

    masks = leaves(case.masks) if case.masks is not None else [None] * 3
    found = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in leaves(case.inputs)]
    for x, mask in zip(found, masks, strict=False):
        if mask is not None:
            x._keras_mask = torch.tensor(mask)
    return found


def bare(value: Any) -> Any:
    return None if value is None else np.asarray(value.detach() if hasattr(value, "detach") else value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("float64")
@every_case
def test_equal_to_keras(keras64: Any, name: str, number: int) -> None:
    """Twice: most bugs of this field are second-call bugs."""
    import torch

    case = CASES[name][number]
    ours, theirs = case.make(layers), case.make(keras64.layers)
    rng = np.random.default_rng(3)
    ours(like(case, our_inputs(case)))
    theirs(like(case, their_inputs(case)))
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    if "weights" not in ours.arguments:
        ours.set_weights([rng.standard_normal(w.shape) for w in ours.weights])
    else:
        np.testing.assert_array_equal(ours.get_weights()[0], theirs.get_weights()[0])
    theirs.set_weights(ours.get_weights())
    scale = 1e-11 if case.exact else 2e-6
    for _ in range(2):
        x, z = our_inputs(case), their_inputs(case)
        y, want = ours(like(case, x)), theirs(like(case, z))
        np.testing.assert_allclose(bare(y), bare(want), rtol=scale, atol=scale)
        assert bare(y).dtype == np.float64
        mask, expected = bare(getattr(y, "_mask", None)), bare(getattr(want, "_keras_mask", None))
        assert (mask is None) == (expected is None)
        if mask is not None:
            np.testing.assert_array_equal(mask, expected)
        penalty, charged = sum(ours.losses, tg.tensor(0.0)), sum(theirs.losses, torch.zeros(()))
        np.testing.assert_allclose(penalty.item(), float(charged), rtol=max(scale, 1e-6))
        pull = rng.standard_normal(y.shape)
        sources = [v for v in x if v.requires_grad] + ours.trainable_weights
        targets = [v for v in z if v.requires_grad] + [w.value for w in theirs.trainable_weights]
        wanted = torch.autograd.grad((want * torch.tensor(pull)).sum(), targets, allow_unused=True)
        got = tg.grad((y * pull).sum(), sources)
        for a, b in zip(got, wanted, strict=True):
            if a is None or b is None:  # ids are no place for a gradient
                assert a is None and b is None
            else:
                np.testing.assert_allclose(bare(a), bare(b), rtol=5 * scale, atol=5 * scale)


@pytest.mark.usefixtures("float64")
def test_products_and_extremes_in_float64() -> None:
    """Where Keras itself computes in float32: the formulas in NumPy."""
    dense = layers.Dense(3, activation="tanh", bias_initializer="normal")
    for _ in range(2):
        got = dense(SEQUENCE)
        kernel, bias = dense.get_weights()
        np.testing.assert_allclose(got, np.tanh(SEQUENCE @ kernel + bias), rtol=1e-13)
        per_step = layers.TimeDistributed(dense)(SEQUENCE)
        np.testing.assert_allclose(per_step, got, rtol=1e-13)
        np.testing.assert_array_equal(layers.Maximum()([SEQUENCE, SECOND]), np.maximum(SEQUENCE, SECOND))
        np.testing.assert_array_equal(layers.Minimum()([SEQUENCE, SECOND]), np.minimum(SEQUENCE, SECOND))
        product = layers.Dot(axes=2, normalize=True)([SEQUENCE, SECOND])
        a, b = (v / np.linalg.norm(v, axis=2, keepdims=True) for v in (SEQUENCE, SECOND))
        np.testing.assert_allclose(product, a @ b.swapaxes(1, 2), rtol=1e-13, atol=1e-13)


@settings(max_examples=30)
@given(st.data())
def test_merging_of_any_shapes(data: Any) -> None:
    """Sum and product of inputs that broadcast, and Dot over any pair of axes, as NumPy has them."""
    sizes = st.integers(1, 4)
    full = data.draw(st.lists(sizes, min_size=1, max_size=3))
    shapes = [
        (2, *(data.draw(st.sampled_from([1, n])) for n in full[data.draw(st.integers(0, len(full) - 1)) :]))
        for _ in range(3)
    ]
    arrays = [np.random.default_rng(i).standard_normal(s).astype("float32") for i, s in enumerate(shapes)]
    rank = max(map(len, shapes))
    same = [a.reshape(2, *[1] * (rank - a.ndim), *a.shape[1:]) for a in arrays]
    np.testing.assert_allclose(layers.Add()(arrays), same[0] + same[1] + same[2], rtol=1e-6)
    np.testing.assert_allclose(layers.Multiply()(arrays), same[0] * same[1] * same[2], rtol=1e-6)
    left, right = (data.draw(st.lists(sizes, min_size=0, max_size=2)) for _ in range(2))
    a, b = (data.draw(st.integers(1, len(rest) + 1)) for rest in (left, right))
    x = np.random.default_rng(3).standard_normal((2, *left[: a - 1], 3, *left[a - 1 :]))
    y = np.random.default_rng(4).standard_normal((2, *right[: b - 1], 3, *right[b - 1 :]))
    want = np.stack([np.tensordot(p, q, (a - 1, b - 1)) for p, q in zip(x, y, strict=True)])
    got = layers.Dot((a, b), dtype="float64")([x, y])
    np.testing.assert_allclose(got, want.reshape(got.shape), rtol=1e-12)
    assert got.shape == (want.shape if want.ndim > 1 else (2, 1))


# --- in models ------------------------------------------------------------------------------------


@every_case
def test_in_a_functional_model_saved_and_loaded(name: str, number: int, tmp_path: Any) -> None:
    """Symbolic shapes, the graph on real tensors, and the configuration as a file holds it."""
    case = CASES[name][number]
    layer = case.make(layers)
    arrays = [x.astype("float32") for x in leaves(case.inputs)]
    symbols = [tg.Input(batch_shape=(None, *x.shape[1:])) for x in arrays]
    y = layer(like(case, symbols))
    model = tg.Model(like(case, symbols), y)
    for _ in range(2):
        direct = layer(like(case, arrays))
        assert y.shape == (None, *direct.shape[1:]) and y.dtype == direct.dtype == np.float32
        np.testing.assert_array_equal(model(like(case, arrays)), direct)
    if case.saved:
        model.save(tmp_path / "m.tgr")
        loaded = tg.models.load_model(tmp_path / "m.tgr")
        np.testing.assert_array_equal(loaded(like(case, arrays)), direct)
        assert loaded.layers[0].get_config().keys() == layer.get_config().keys()


SEQUENCE_SHAPES = {
    "Dense": (None, None, 3), "Activation": (None, None, 4), "Masking": (None, None, 4),
    "TimeDistributed": (None, None, 3), "Add": (None, None, 4), "Concatenate": (None, None, 8),
    "Flatten": (None, None), "Reshape": (None, None, 2), "Permute": (None, 4, None), "Cropping1D": (None, None, 4),
    "ZeroPadding1D": (None, None, 4), "UpSampling1D": (None, None, 4), "Softmax": (None, None, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", SEQUENCE_SHAPES)
def test_symbolic_shapes_with_unknown_time(name: str) -> None:
    arguments = {
        "Reshape": ((-1, 2),),
        "Cropping1D": (2,),
        "Permute": ((2, 1),),
        "Dense": (3,),
        "Activation": ("tanh",),
    }
    inside = (layers.Dense(3),) if name == "TimeDistributed" else arguments.get(name, ())
    x = tg.Input((None, 4))
    inputs = [x, x] if issubclass(LAYERS[name], layers.merging.Merge) else x
    assert LAYERS[name](*inside)(inputs).shape == SEQUENCE_SHAPES[name]


def test_a_lambda_is_not_saved_and_a_named_function_is(tmp_path: Any) -> None:
    x = tg.Input((4,))
    with pytest.raises(ValueError, match=r"a lambda cannot be saved.*custom_objects"):
        tg.Model(x, layers.Lambda(lambda v: v * 2)(x)).save(tmp_path / "m.tgr")
    tg.Model(x, layers.Lambda(double, arguments={"by": 3.0})(x)).save(tmp_path / "m.tgr")
    loaded = tg.models.load_model(tmp_path / "m.tgr", custom_objects={"double": double})
    np.testing.assert_array_equal(loaded(FLAT.astype("float32")), FLAT.astype("float32") * 3)


def test_merging_functions_are_the_layers() -> None:
    pair = [tg.tensor(SEQUENCE), tg.tensor(SECOND)]
    for name in ("add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate"):
        layer = getattr(layers, name.capitalize())()
        np.testing.assert_array_equal(getattr(layers, name)(pair, name=f"my_{name}"), layer(pair))
    np.testing.assert_array_equal(layers.concatenate(pair, 1), layers.Concatenate(1)(pair))
    np.testing.assert_array_equal(layers.dot(pair), layers.Dot(-1)(pair))
    np.testing.assert_array_equal(layers.dot(pair, axes=1), layers.Dot(1)(pair))


# --- configuration and arguments ------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(LAYERS) - {"Layer"}))
def test_configuration_round_trip(name: str) -> None:
    layer = LAYERS[name](**required(name), name="given")
    config = layer.get_config()
    assert config["name"] == "given" and config["dtype"] == "float32"
    for _ in range(2):
        again = type(layer).from_config(layer.get_config())
        assert inside(again) == inside(layer)


MINE = [n for n, c in LAYERS.items() if c.__module__.rsplit(".")[-1] in (
    "core", "embedding", "merging", "noise", "reshaping", "advanced_activations")]  # fmt: skip


@pytest.mark.parametrize("name", MINE)
def test_arguments_and_defaults_are_those_of_keras(keras64: Any, name: str) -> None:
    def arguments(cls: Any) -> list[tuple[str, Any]]:
        found = [p for p in inspect.signature(cls.__init__).parameters.values() if p.name != "self"]
        return [(p.name, p.default) for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]

    assert arguments(LAYERS[name]) == arguments(getattr(keras64.layers, name))
    assert name in CASES, f"give {name} a row in simple_cases.py"


def test_names_of_keras_2_name_their_successor() -> None:
    with pytest.warns(UserWarning, match="alpha is Keras 2's name; write negative_slope"):
        layer = layers.LeakyReLU(alpha=0.1)
    assert layer.negative_slope == 0.1
    assert layers.LeakyReLU.from_config(layer.get_config()).negative_slope == 0.1
    with pytest.warns(UserWarning, match="input_length is Keras 2's"):
        table = layers.Embedding(5, 2, input_length=3)
    assert layers.Embedding.from_config(table.get_config()).output_dim == 2


# --- random layers ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("float64")
def test_noise_is_drawn_while_training_only() -> None:
    x = np.full((200, 50, 8), 2.0)
    for make, spread in [
        (lambda: layers.Dropout(0.25, seed=3), 2 * np.sqrt(0.25 / 0.75)),
        (lambda: layers.SpatialDropout1D(0.25, seed=3), 2 * np.sqrt(0.25 / 0.75)),
        (lambda: layers.GaussianNoise(0.3, seed=3), 0.3),
        (lambda: layers.GaussianDropout(0.2, seed=3), 2 * np.sqrt(0.2 / 0.8)),
    ]:
        layer, same = make(), make()
        np.testing.assert_array_equal(layer(x), x)
        first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(same(x, training=True), first)
        assert abs(first.mean() - 2) < 0.05 and abs(first.std() / spread - 1) < 0.05
        assert first.dtype == np.float64
    dropped = layers.SpatialDropout1D(0.5)(x, training=True).numpy()
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :1], x.shape))
    shared = layers.Dropout(0.5, noise_shape=(1, None, 1))(x, training=True).numpy()
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:1, :, :1], x.shape))
    np.testing.assert_array_equal(layers.Dropout(1.0)(x, training=True), 0 * x)
    assert layers.GaussianNoise(0.1)(np.ones(3, "float64"), training=True).dtype == np.float64


def test_a_layer_with_statistics_is_called_step_by_step() -> None:
    class Count(Layer):
        def build(self, input_shape: Any) -> None:
            self.calls = self.add_weight((), "zeros", trainable=False, name="calls")

        def call(self, inputs: Any) -> Any:
            self.calls.assign(self.calls + 1)
            return inputs - inputs.mean(axis=0, keepdims=True)

    inner = Count()
    x = SEQUENCE.astype("float32")
    y = layers.TimeDistributed(inner)(x, training=True)
    assert inner.calls.item() == 5
    np.testing.assert_allclose(y, x - x.mean(axis=0, keepdims=True), atol=1e-6)


def test_time_distributed_hands_the_mask_of_inner_sequences_on() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype("float32")
    mask = np.random.default_rng(1).random((2, 3, 5)) < 0.6
    inner = layers.LSTM(3)
    y = layers.TimeDistributed(inner)(x, mask=mask)
    for t in range(3):
        np.testing.assert_allclose(y[:, t], inner(x[:, t], mask=mask[:, t]), rtol=1e-6, atol=1e-7)
    inner.trainable = False  # its weights are now like statistics: step by step
    np.testing.assert_allclose(layers.TimeDistributed(inner)(x, mask=mask, training=True), y, rtol=1e-6)
    with pytest.raises(ValueError, match=r"mask of shape \(2, 3, ...\), received \(2, 4\)"):
        layers.TimeDistributed(layers.LSTM(3))(x, mask=np.ones((2, 4), bool))


def test_masks_reach_a_recurrent_layer() -> None:
    """Masking and Concatenate in front of an LSTM: masked steps change nothing."""
    x = np.where(MASK[..., None], SEQUENCE, 0.0).astype("float32")
    lstm = layers.LSTM(3)
    direct = lstm(x, mask=MASK)
    np.testing.assert_array_equal(lstm(layers.Masking()(x)), direct)
    assert not np.allclose(lstm(x), direct)


class Foreign:
    """An array of another library, which NumPy can read."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.shape, self.dtype = values.shape, "a type of its own"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.values, dtype)


def test_arrays_of_other_libraries_are_taken_as_fit_does() -> None:
    x = SEQUENCE.astype("float32")
    lstm, dense, both = layers.LSTM(3), layers.Dense(2), layers.Concatenate()
    states = [np.ones((len(x), 3), "float32")] * 2
    given = [Foreign(s) for s in states]
    np.testing.assert_array_equal(
        lstm(Foreign(x), initial_state=given, mask=Foreign(MASK)), lstm(x, initial_state=states, mask=MASK)
    )
    np.testing.assert_array_equal(dense(Foreign(x)), dense(x))
    np.testing.assert_array_equal(both([Foreign(x), x]), both([x, x]))
    model = tg.Sequential([lstm, layers.Dense(2)])
    np.testing.assert_array_equal(model(Foreign(x)), model(x))
