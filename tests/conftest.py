"""Fixtures for all tests: every test starts from the same global state and must leave it so."""

from __future__ import annotations

import os
import random
import signal
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from tinygrad_rnn import config

# The same examples in every run, and no clock: a slow machine is not a failure.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def global_state() -> Iterator[None]:
    """Seed every random stream; afterwards fail a test that leaves a switch or setting changed."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    config.set_random_seed(0)
    errors = np.geterr()
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    yield
    signal.signal(signal.SIGINT, interrupt)
    left = {
        "floatx": config.floatx(),
        "epsilon": config.epsilon(),
        "mode": config.mode(),
        "errstate": np.geterr(),
    }
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config._MODE.set(config.Mode())
    np.seterr(**errors)
    random.setstate(python_state)
    np.random.set_state(numpy_state)
    assert left == {"floatx": "float32", "epsilon": 1e-7, "mode": config.Mode(), "errstate": errors}


@pytest.fixture
def float64() -> Iterator[None]:
    """Python floats, weights and random numbers are float64 inside the test."""
    config.set_floatx("float64")
    yield
    config.set_floatx("float32")


@pytest.fixture
def rng() -> np.random.Generator:
    """A NumPy generator with a fixed seed."""
    return np.random.default_rng(1)


@pytest.fixture(scope="session")
def keras() -> Any:
    """Keras on its torch backend, as an oracle: imported once, and only if a test asks for it."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torch")
        return pytest.importorskip("keras")
