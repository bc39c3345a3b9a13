"""Learning-rate schedules: 50 steps against Keras, configs, what they refuse, and optimizers that follow them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tinygrad_rnn import Variable, optimizers
from tinygrad_rnn.optimizers import schedules

CASES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9}),
    (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9, "staircase": True},
    ),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9}),
    (
        "InverseTimeDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9, "staircase": True},
    ),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    (
        "PolynomialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 20, "power": 2.5, "end_learning_rate": 0.01},
    ),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 8, "cycle": True, "power": 0.5}),
    ("PiecewiseConstantDecay", {"boundaries": [5, 20, 30], "values": [1.0, 0.5, 0.2, 0.1]}),
    ("PiecewiseConstantDecay", {"boundaries": [10], "values": [1.0, 0.5]}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 30}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "alpha": 0.2}),
    (
        "CosineDecay",
        {
            "initial_learning_rate": 0.0,
            "decay_steps": 30,
            "alpha": 0.1,
            "warmup_target": 0.1,
            "warmup_steps": 6,
        },
    ),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "warmup_target": 0.5}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 6}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 7, "t_mul": 1.5, "m_mul": 0.8, "alpha": 0.1},
    ),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 9, "t_mul": 1.0, "m_mul": 0.5},
    ),
]


def test_every_schedule_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(schedules.REGISTRY._entries)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_fifty_steps_against_keras(keras: Any, name: str, options: dict[str, Any]) -> None:
    keras.config.set_floatx("float64")
    try:
        theirs = getattr(keras.optimizers.schedules, name)(**options)
        ours = getattr(schedules, name)(**options)
        expected = [float(theirs(keras.ops.convert_to_tensor(float(s), "float64"))) for s in range(51)]
        assert ours.get_config() == theirs.get_config()
    finally:
        keras.config.set_floatx("float32")
    for kind in (int, np.int64, np.float32):
        values = [ours(kind(s)) for s in range(51)]
        assert_allclose(values, expected, rtol=1e-6, atol=1e-9)
        assert {type(v) for v in values} == {float}


@pytest.mark.parametrize(("name", "options"), CASES)
def test_configs_and_optimizers_round_trip(name: str, options: dict[str, Any]) -> None:
    made = getattr(schedules, name)(**options)
    again = schedules.deserialize(json.loads(json.dumps(schedules.serialize(made))))
    assert type(again) is type(made) and again.get_config() == made.get_config()
    adam = optimizers.Adam(made, clipnorm=1.0)
    copy = optimizers.get(json.loads(json.dumps(optimizers.serialize(adam))))
    assert copy.get_config() == adam.get_config()
    w, v = Variable([1.0]), Variable([1.0])
    for step in range(4):
        assert copy.learning_rate == adam.learning_rate == made(step)
        adam.apply([[1.0]], [w])
        copy.apply([[1.0]], [v])
        assert w.item() == v.item()
    with pytest.raises(TypeError, match="follows a schedule and cannot be set to 0.1"):
        adam.learning_rate = 0.1
    adam.learning_rate = schedules.ExponentialDecay(0.5, 1, 0.5)
    assert adam.learning_rate == 0.5**5


@pytest.mark.parametrize("name", schedules.REGISTRY._entries)
def test_arguments_are_those_of_keras(keras: Any, name: str) -> None:
    import inspect

    ours, theirs = (
        list(inspect.signature(getattr(m, name)).parameters.values())
        for m in (schedules, keras.optimizers.schedules)
    )
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ExponentialDecay", {"decay_steps": 0, "decay_rate": 0.5}, "decay_steps must be > 0, received 0"),
        ("CosineDecay", {"decay_steps": -1}, "decay_steps must be > 0"),
        ("CosineDecayRestarts", {"first_decay_steps": 0}, "first_decay_steps must be > 0"),
        ("CosineDecayRestarts", {"first_decay_steps": 2, "t_mul": 0.5}, "t_mul must be ≥ 1"),
        (
            "PolynomialDecay",
            {"decay_steps": 2, "initial_learning_rate": "a"},
            "initial_learning_rate must be",
        ),
        ("PiecewiseConstantDecay", {"boundaries": [1, 2], "values": [1.0, 2.0]}, "one value more"),
        ("PiecewiseConstantDecay", {"boundaries": [2, 1], "values": [1.0, 2.0, 3.0]}, "rising boundaries"),
    ],
)
def test_what_is_refused(name: str, options: dict[str, Any], said: str) -> None:
    if name != "PiecewiseConstantDecay":
        options = {"initial_learning_rate": 0.1, **options}
    with pytest.raises(ValueError, match=said):
        getattr(schedules, name)(**options)


def test_unknown_schedules_and_the_base() -> None:
    with pytest.raises(ValueError, match="did you mean 'CosineDecay'"):
        schedules.deserialize({"class_name": "CosinDecay", "config": {}})
    with pytest.raises(NotImplementedError, match="must define __call__"):
        schedules.LearningRateSchedule()(0)
