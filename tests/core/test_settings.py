"""The switches are per thread, the settings are validated."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from leaves import leaf

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.config import mode


def test_no_grad_and_enable_grad() -> None:
    x = leaf(2.0)
    with tg.no_grad():
        assert not (x * x).requires_grad
        with tg.enable_grad():
            assert (x * x).requires_grad
        assert not ops.sum(x).requires_grad
    assert (x * x).requires_grad

    @tg.no_grad()
    def decorated() -> tg.Tensor:
        return x * x

    assert not decorated().requires_grad
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert (x * x).requires_grad


def test_backward_works_under_no_grad() -> None:
    x = leaf(2.0)
    y = x * x
    with tg.no_grad():
        y.backward(retain_graph=True)
        g = tg.grad(y, x, create_graph=True)
    assert x.grad == 4.0 and tg.grad(g, x).item() == 2.0


def test_no_grad_does_not_leak_into_other_threads() -> None:
    barrier, lost = threading.Barrier(2), []
    rounds = 200

    def switching() -> None:
        for _ in range(rounds):
            with tg.no_grad():
                barrier.wait(10)
                lost.append((leaf(2.0) * 2).requires_grad)
                barrier.wait(10)

    def recording() -> None:
        for _ in range(rounds):
            barrier.wait(10)
            x = leaf(2.0)
            y = x * x
            lost.append(not y.requires_grad)
            y.backward()
            lost.append(x.grad != 4.0)
            barrier.wait(10)

    threads = [threading.Thread(target=f) for f in (switching, recording)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert len(lost) == 3 * rounds and not any(lost)
    assert mode().grad


def test_settings_are_validated() -> None:
    with pytest.raises(ValueError, match="float16, float32, float64, got 'int8'"):
        tg.set_floatx("int8")
    for wrong in (0, -1e-3, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            tg.config.set_epsilon(wrong)
    for wrong in (-1, 2**32, 1.5, "1", None, True):
        with pytest.raises(ValueError, match="set_random_seed: expected an integer"):
            tg.config.set_random_seed(wrong)
    assert (tg.floatx(), tg.epsilon()) == ("float32", 1e-7)


def test_floatx_is_the_type_of_python_floats(float64: None) -> None:
    assert tg.tensor(1.0).dtype == tg.tensor([1.5, 2]).dtype == tg.Variable([1, 2]).dtype == np.float64
    assert ops.zeros((2,)).dtype == ops.normal((2,)).dtype == np.float64
    assert tg.tensor(np.ones(2, "float32")).dtype == np.float32
    tg.set_floatx("float32")
    assert tg.tensor(1.0).dtype == np.float32 and tg.tensor(np.ones(2)).dtype == np.float64


def test_one_switch_can_be_entered_twice_and_decorate() -> None:
    off = tg.no_grad()
    with off, off:
        assert not tg.config.mode().grad
    assert tg.config.mode().grad

    @tg.no_grad()
    def depth(n: int) -> int:
        assert not tg.config.mode().grad
        return 0 if n == 0 else 1 + depth(n - 1)

    assert depth(3) == 3
    assert tg.config.mode().grad
