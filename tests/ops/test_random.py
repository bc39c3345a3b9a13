"""Random numbers: the same for a seed, and distributed as they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from leaves import same_bits

import tinygrad_rnn as tg
from tinygrad_rnn import ops

DRAWS: dict[str, Callable[[Any], Any]] = {
    "normal": lambda seed: ops.normal((50, 40), 2.0, 3.0, seed=seed),
    "truncated_normal": lambda seed: ops.truncated_normal((50, 40), 2.0, 3.0, seed=seed),
    "uniform": lambda seed: ops.uniform((50, 40), -1.0, 3.0, seed=seed),
    "randint": lambda seed: ops.randint((50, 40), -2, 3, seed=seed),
    "categorical": lambda seed: ops.categorical(np.zeros((50, 5)), 40, seed=seed),
    "dropout": lambda seed: ops.dropout(tg.tensor(np.ones((50, 40), "float32")), 0.3, seed=seed),
    "shuffle": lambda seed: ops.shuffle(tg.tensor(np.arange(2000.0)), seed=seed),
}


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_seeds(name: str) -> None:
    draw = DRAWS[name]
    assert same_bits(draw(5), draw(5)) and not same_bits(draw(5), draw(6))
    stream = tg.random.SeedGenerator(5)
    first, second = draw(stream), draw(stream)
    assert same_bits(first, draw(5)) and not same_bits(first, second)
    kept = stream.state
    third = draw(stream)
    stream.state = kept
    assert same_bits(draw(stream), third)
    tg.config.set_random_seed(3)
    free = [draw(None), draw(None)]
    tg.config.set_random_seed(3)
    assert same_bits(free[0], draw(None)) and same_bits(free[1], draw(None)) and not same_bits(*free)


def test_distributions() -> None:
    normal, uniform = DRAWS["normal"](1).numpy(), DRAWS["uniform"](1).numpy()
    assert normal.dtype == uniform.dtype == np.float32
    assert abs(normal.mean() - 2) < 0.3 and abs(normal.std() - 3) < 0.2
    assert -1 <= uniform.min() < -0.9 and 2.9 < uniform.max() < 3 and abs(uniform.mean() - 1) < 0.1
    truncated = DRAWS["truncated_normal"](1).numpy()
    assert np.abs(truncated - 2).max() <= 6 and abs(truncated.std() - 3 * 0.8796) < 0.2
    integers = DRAWS["randint"](1).numpy()
    assert integers.dtype == np.int32 and set(np.unique(integers)) == {-2, -1, 0, 1, 2}
    assert ops.truncated_normal((), seed=1).shape == ops.normal((), seed=1).shape == ()


def test_categorical_probabilities() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    with np.errstate(divide="ignore"):
        drawn = ops.categorical(tg.tensor(np.log(p)), 20_000, seed=2)
    assert drawn.dtype == np.int32 and drawn.shape == (2, 20_000)
    counts = np.stack([np.bincount(row, minlength=3) for row in drawn.numpy()]) / 20_000
    np.testing.assert_allclose(counts, p, atol=0.02)
    assert counts[1, 0] == 0


def test_dropout() -> None:
    x = tg.tensor(np.ones((200, 50)), requires_grad=True)
    y = ops.dropout(x, 0.25, seed=1)
    assert set(np.unique(y.numpy())) == {0.0, 1 / 0.75} and abs((y.numpy() == 0).mean() - 0.25) < 0.02
    y.sum().backward()
    assert same_bits(x.grad, y)
    assert same_bits(ops.dropout(x, 0.0), x) and not ops.dropout(x, 1.0).numpy().any()
    rows = ops.dropout(x, 0.5, noise_shape=(None, 1), seed=1).numpy()
    assert (rows == rows[:, :1]).all() and len(np.unique(rows)) == 2
