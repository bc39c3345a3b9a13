"""Initializers, activations, regularizers, constraints and the tables that find them by name."""

from __future__ import annotations

import importlib
import inspect
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import Variable, config, grad, losses, metrics, optimizers, tensor
from tinygrad_rnn import activations as act
from tinygrad_rnn import constraints as con
from tinygrad_rnn import initializers as ini
from tinygrad_rnn import regularizers as reg
from tinygrad_rnn.utils.registry import Registry, Serializable, parameters, plain, snake_case

RANDOM = [
    ini.RandomNormal,
    ini.RandomUniform,
    ini.TruncatedNormal,
    ini.Orthogonal,
    ini.VarianceScaling,
    ini.GlorotUniform,
    ini.GlorotNormal,
    ini.HeUniform,
    ini.HeNormal,
    ini.LecunUniform,
    ini.LecunNormal,
]
MODULES = [ini, act, reg, con, losses, metrics, optimizers]


# --- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__.split(".")[-1])
def test_every_entry_is_found_by_every_spelling(module: Any) -> None:
    for name, member in module.REGISTRY._entries.items():
        assert module.REGISTRY.find(name) is member
        if isinstance(member, type):
            for spelling in (name.lower(), name.upper()):
                assert module.REGISTRY.find(spelling) is not None
            assert module.REGISTRY.find(snake_case(name)).__name__.replace("_", "").lower() == (
                member.__name__.lower()
            )


REQUIRED = {
    "recall": 0.5, "precision": 0.5, "specificity": 0.5, "sensitivity": 0.5, "num_classes": 2,
    "target_class_ids": [0],
}  # fmt: skip


def example(cls: Any) -> Any:
    """An object with a value for every argument that must be given."""
    wanted = inspect.signature(cls).parameters.values()
    needed = [p.name for p in wanted if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return cls(**{name: REQUIRED[name] for name in needed})


@pytest.mark.parametrize("module", [ini, reg, con, losses, metrics, optimizers])
def test_configs_are_plain_and_make_equal_objects(module: Any) -> None:
    for member in module.REGISTRY._entries.values():
        if not isinstance(member, type) or parameters(member)[:1] == ["fn"]:
            continue
        made = example(member)
        record = module.serialize(made)
        assert set(record) == {"class_name", "config"} and record["class_name"] == member.__name__
        record = json.loads(json.dumps(record))
        again = module.get(record)
        assert type(again) is member and again.get_config() == made.get_config()


@pytest.mark.parametrize(
    ("module", "wrong", "right"),
    [
        (ini, "glorot_unifrom", "glorot_uniform"),
        (act, "sigmod", "sigmoid"),
        (reg, "l22", "l2"),
        (con, "MaxNrom", "MaxNorm"),
        (losses, "mean_square_error", "mean_squared_error"),
        (metrics, "acuracy", "accuracy"),
        (optimizers, "adm", "adam"),
        (optimizers, "RMSProp2", "RMSprop"),
    ],
)
def test_unknown_names_name_the_nearest(module: Any, wrong: str, right: str) -> None:
    with pytest.raises(ValueError, match=f"{wrong}.*did you mean '{right}'"):
        module.get(wrong)


def test_get_accepts_objects_classes_callables_and_refuses_the_rest() -> None:
    one = reg.L2(0.5)
    assert reg.get(one) is one and reg.get(None) is None
    assert isinstance(reg.get(reg.L1), reg.L1)
    assert ini.get("he_normal") is not ini.get("he_normal")
    function = lambda x: x  # noqa: E731
    assert act.get(function) is function and act.serialize(function) is function
    with pytest.raises(ValueError, match="expected a name.*received 3 \\(int\\)"):
        reg.get(3)
    with pytest.raises(ValueError, match="'class_name' and 'config'"):
        reg.get({"name": "L2"})
    with pytest.raises(ValueError, match="unknown regularizer 'os.system'"):
        reg.get({"class_name": "os.system", "config": {}})


def test_a_name_is_entered_once() -> None:
    table = Registry("thing", [Serializable])
    table.add(Serializable)
    with pytest.raises(ValueError, match="another thing named 'Serializable'"):
        table.add(Registry, "Serializable")


def test_plain_data_of_arrays_and_objects() -> None:
    value = plain({"a": 1}), plain(np.arange(2)), plain(np.float32(0.5)), plain([reg.L2(0.5)])
    assert value == ({"a": 1}, [0, 1], 0.5, [{"class_name": "L2", "config": {"l2": 0.5}}])


# --- initializers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", RANDOM)
def test_a_seed_fixes_the_values_and_none_draws_one(cls: Any) -> None:
    a, b = cls(seed=5), cls(seed=5)
    assert np.array_equal(a((4, 3)), a((4, 3))) and np.array_equal(a((4, 3)), b((4, 3)))
    config.set_random_seed(9)
    c, d = cls(), cls()
    config.set_random_seed(9)
    again = cls()
    assert not np.array_equal(c((4, 3)), d((4, 3))) and np.array_equal(c((4, 3)), again((4, 3)))
    assert c.get_config()["seed"] is None and a.get_config()["seed"] == 5
    stream = cls(seed=config.SeedGenerator(3))
    assert not np.array_equal(stream((4, 3)), stream((4, 3)))


@pytest.mark.parametrize("cls", [*RANDOM, ini.Zeros, ini.Ones, ini.Constant, ini.Identity])
def test_dtype_shape_and_ownership(cls: Any, float64: None) -> None:
    assert cls()((4, 3)).dtype == np.float64
    value = cls()((4, 3), "float32")
    assert value.dtype == np.float32 and value.shape == (4, 3) and value.flags.writeable
    assert cls.from_config(cls().get_config())((2, 2)).shape == (2, 2)


@pytest.mark.parametrize("cls", RANDOM[5:])
@pytest.mark.parametrize("shape", [(300, 200), (5, 60, 80)])
def test_scaled_variance_and_bounds(cls: Any, shape: tuple[int, ...]) -> None:
    scale, mode, kind = cls.row
    fan_in, fan_out = ini.fans(shape)
    assert (fan_in, fan_out) == (math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1])
    variance = scale / {"fan_in": fan_in, "fan_avg": (fan_in + fan_out) / 2}[mode]
    values = cls(seed=2)(shape, "float64")
    assert abs(values.var() / variance - 1) < 0.03 and abs(values.mean()) < 0.05 * math.sqrt(variance)
    limit = math.sqrt(3 * variance) if kind == "uniform" else 2 * math.sqrt(variance) / 0.87962566103423978
    assert 0.97 * limit < np.abs(values).max() <= limit


def test_variance_scaling_accepts_and_refuses() -> None:
    assert ini.VarianceScaling(distribution="normal").distribution == "truncated_normal"
    wide = ini.VarianceScaling(1.0, "fan_out", "untruncated_normal", seed=1)((50, 400))
    assert abs(wide.var() * 400 - 1) < 0.03 and np.abs(wide).max() > 3 / 20
    assert ini.VarianceScaling()(()).shape == () and ini.VarianceScaling()((3,)).shape == (3,)
    for wrong in ({"scale": 0.0}, {"mode": "fan"}, {"distribution": "cauchy"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
            ini.VarianceScaling(**wrong)  # type: ignore[arg-type]


def test_fans_of_named_axes_and_clones(keras: Any) -> None:
    from keras.src.initializers.random_initializers import compute_fans

    for axes in (((0,), (1, 2)), ((0, 1), (2,)), ((2,), (0,)), (None, (1,))):
        assert ini.fans((3, 4, 5), *axes) == compute_fans((3, 4, 5), *axes)
    wide = ini.GlorotUniform(seed=1, input_axes=(0,), output_axes=(1, 2))
    assert np.abs(wide((20, 10, 10))).max() <= math.sqrt(6 / 120)
    for made in (wide, ini.HeNormal(seed=3), ini.Constant(2.0)):
        again = made.clone()
        assert type(again) is type(made) and np.array_equal(again((4, 3, 2)), made((4, 3, 2)))
    fresh = ini.HeNormal()
    assert not np.array_equal(fresh((4, 3)), fresh.clone()((4, 3)))


@pytest.mark.parametrize("name", ["initializers", "regularizers", "constraints", "optimizers"])
def test_names_of_keras_are_there(keras: Any, name: str) -> None:
    left_out = {
        "STFT", "STFTInitializer", "stft",  # spectrograms
        "Adafactor", "Lamb", "LossScaleOptimizer", "MultiOptimizer", "Muon", "OptimizerMap",
        "ScheduleFreeAdamW", "legacy",
    }  # fmt: skip
    theirs = {n for n in dir(getattr(keras, name)) if not n.startswith("_")} - left_out
    assert theirs <= set(dir(importlib.import_module(f"tinygrad_rnn.{name}")))


def test_penalties_against_keras(keras: Any, rng: np.random.Generator) -> None:
    w = rng.standard_normal((3, 4)).astype("float32")
    for name, options in [
        ("L1", {}), ("L2", {}), ("L1", {"l1": 0.3}), ("L2", {"l2": 0.3}), ("L1L2", {"l1": 0.1, "l2": 0.2}),
        ("L1L2", {}), ("OrthogonalRegularizer", {"factor": 0.2}),
    ]:  # fmt: skip
        expected = float(getattr(keras.regularizers, name)(**options)(keras.ops.convert_to_tensor(w)))
        value = getattr(reg, name)(**options)(w)
        np.testing.assert_allclose(float(value), expected, rtol=1e-6)
        assert np.asarray(value).dtype == np.float32 or options == {}
    assert reg.L2(np.float32(0.5)).l2 == 0.5
    for name in ("l1", "L1", "l2", "l1l2", "l1_l2", "orthogonal_regularizer"):
        assert isinstance(reg.get(name), reg.Regularizer)


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_orthogonal_rows_or_columns(rows: int, columns: int, seed: int) -> None:
    q = ini.Orthogonal(2.0, seed)((rows, columns), "float64")
    product = q @ q.T if rows <= columns else q.T @ q
    np.testing.assert_allclose(product, 4 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_has_no_preferred_sign() -> None:
    positive = sum(ini.Orthogonal(seed=s)((4, 4))[0, 0] > 0 for s in range(200))
    assert 70 < positive < 130  # QR alone gives one sign always


def test_constants_and_their_errors() -> None:
    assert ini.Constant([1.0, 2.0])((3, 2)).tolist() == [[1.0, 2.0]] * 3
    assert ini.get(np.array([1.0, 2.0]))((2,)).tolist() == [1.0, 2.0]
    assert ini.Ones()((2,), "int64").dtype == np.int64
    with pytest.raises(ValueError, match="shape"):
        ini.Constant([1.0, 2.0])((3,))
    with pytest.raises(ValueError, match=r"Identity: expected a matrix, received shape \(3,\)"):
        ini.Identity()((3,))
    with pytest.raises(ValueError, match="Orthogonal: expected at least two axes"):
        ini.Orthogonal()((3,))


def test_defaults_are_those_of_keras(keras: Any) -> None:

    left_out = {"self", "name", "loss_scale_factor"}
    pairs = [
        (module, getattr(keras, module.__name__.split(".")[-1])) for module in MODULES if module is not act
    ]
    for ours, theirs in pairs:
        for name, member in ours.REGISTRY._entries.items():
            other = getattr(theirs, name, None)
            if not isinstance(member, type) or other is None or name == "MeanMetricWrapper":
                continue
            expected = inspect.signature(other.__init__).parameters
            known = parameters(member)
            for key, parameter in expected.items():
                if parameter.kind in (2, 4) or key in left_out:
                    continue
                assert key in known, (name, key)
                if ours is not optimizers or key in parameters(member)[:5]:
                    mine = inspect.signature(member.__init__).parameters.get(key)
                    assert mine is None or mine.default == parameter.default, (name, key)
            if ours in (losses, metrics) and parameters(member)[:1] != ["fn"]:
                assert example(member).name == example(other).name, name


# --- activations ----------------------------------------------------------------------------------


def test_activations_agree_with_keras(keras: Any, rng: np.random.Generator) -> None:
    x = (3 * rng.standard_normal((4, 6))).astype("float32")
    for name, function in act.FUNCTIONS.items():
        expected = np.asarray(keras.activations.get(name)(keras.ops.convert_to_tensor(x)))
        np.testing.assert_allclose(np.asarray(function(x)), expected, rtol=1e-5, atol=1e-6, err_msg=name)
    for options in ({"negative_slope": 0.1}, {"max_value": 1.0}, {"threshold": 0.5, "negative_slope": 0.2}):
        expected = np.asarray(keras.activations.relu(keras.ops.convert_to_tensor(x), **options))
        np.testing.assert_allclose(act.relu(x, **options), expected, rtol=1e-6, atol=1e-7)


def test_gradients_of_activations_agree_with_keras(keras: Any, rng: np.random.Generator) -> None:
    import torch

    x, pull = 3 * rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    for name, function in act.FUNCTIONS.items():
        theirs, ours = torch.tensor(x, requires_grad=True), tensor(x, requires_grad=True)
        for _ in range(2):
            want, y = keras.activations.get(name)(theirs), function(ours)
            g = pull[:, : y.shape[1]]
            (expected,) = torch.autograd.grad(want, theirs, torch.tensor(g))
            np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
            rtol = 1e-7 if name == "hard_sigmoid" else 1e-9  # torch's derivative there is a float32 1/6
            np.testing.assert_allclose(grad(y, ours, g), expected, rtol=rtol, atol=1e-12, err_msg=name)


def test_activations_with_arguments_and_at_infinity() -> None:
    x = np.array([-np.inf, -1.0, 0.25, np.inf], "float32")
    assert act.relu(x, threshold=0.5).tolist() == [0.0, 0.0, 0.0, np.inf]
    assert act.threshold(x, 0.5, -1.0).tolist() == [-1.0, -1.0, -1.0, np.inf]
    assert act.hard_shrink(x, 0.2).tolist() == x.tolist()
    assert act.soft_shrink(x, 0.25).tolist() == [-np.inf, -0.75, 0.0, np.inf]
    assert act.squareplus(np.zeros(1), 16.0).tolist() == [2.0]
    assert act.glu(np.array([[4.0, 2.0], [0.0, 0.0]]), axis=0).tolist() == [[2.0, 1.0]]
    assert act.celu(np.array([-1e4]), 0.5).tolist() == [-0.5]
    for name, function in act.FUNCTIONS.items():
        for value in (np.array([[0.5, -0.5]], "float32"), tensor([[0.5, -0.5]], "float32")):
            assert function(value).dtype == np.float32, name


def test_activation_names_round_trip() -> None:
    assert act.get(None) is act.linear and act.get("Swish") is act.silu
    for name, function in act.FUNCTIONS.items():
        assert act.get(act.serialize(function)) is function and act.get(name) is function
        assert act.deserialize(act.serialize(function)) is function


# --- regularizers ---------------------------------------------------------------------------------


def test_penalties_and_their_gradients(rng: np.random.Generator) -> None:
    w = Variable(rng.standard_normal((3, 4)), dtype="float64")
    a = w.numpy()
    for penalty, value, slope in [
        (reg.L1(0.3), 0.3 * np.abs(a).sum(), 0.3 * np.sign(a)),
        (reg.L2(0.3), 0.3 * (a**2).sum(), 0.6 * a),
        (reg.L1L2(0.1, 0.2), 0.1 * np.abs(a).sum() + 0.2 * (a**2).sum(), 0.1 * np.sign(a) + 0.4 * a),
        (reg.L1L2(), 0.0, 0 * a),
    ]:
        y = penalty(w)
        np.testing.assert_allclose(y.item(), value, rtol=1e-12)
        np.testing.assert_allclose(grad(y, w).numpy(), slope, rtol=1e-12)


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_regularizer_against_keras(keras: Any, rng: np.random.Generator, mode: str) -> None:
    x = rng.standard_normal((3, 4)).astype("float32")
    expected = float(keras.regularizers.OrthogonalRegularizer(0.1, mode)(keras.ops.convert_to_tensor(x)))
    assert abs(float(reg.OrthogonalRegularizer(0.1, mode)(x)) - expected) < 1e-6
    assert float(reg.OrthogonalRegularizer(0.1, mode)(np.ones((1, 1)))) == 0.0
    with pytest.raises(ValueError, match="expected a matrix"):
        reg.OrthogonalRegularizer()(np.ones(3))


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "a", True])
def test_wrong_strengths(value: Any) -> None:
    with pytest.raises(ValueError, match="finite number ≥ 0"):
        reg.L2(value)


# --- constraints ----------------------------------------------------------------------------------


def test_constraints_against_keras(keras: Any, rng: np.random.Generator) -> None:
    w = rng.standard_normal((4, 3)).astype("float32")
    w[:, 0] = 0
    for name, options in [
        ("MaxNorm", {}),
        ("MaxNorm", {"max_value": 0.5, "axis": 1}),
        ("MaxNorm", {"axis": [0, 1]}),
        ("UnitNorm", {}),
        ("MinMaxNorm", {"min_value": 0.5, "max_value": 0.8, "rate": 0.7}),
        ("NonNeg", {}),
    ]:
        ours = getattr(con, name)(**options)(w)
        if options.get("axis") == [0, 1]:
            options = {"axis": (0, 1)}
        expected = np.asarray(getattr(keras.constraints, name)(**options)(w))
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)
        assert ours.dtype == np.float32


def test_base_classes_say_what_to_define() -> None:
    for base in (ini.Initializer, reg.Regularizer, con.Constraint):
        with pytest.raises(NotImplementedError, match="must define __call__"):
            base()(np.ones(2))
