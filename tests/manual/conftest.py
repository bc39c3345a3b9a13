"""One fixture for all hand derivations: gradients against complex steps and against PyTorch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

Arrays = Mapping[str, np.ndarray]


def complex_step(loss: Callable[[dict[str, np.ndarray]], Any], arrays: Arrays) -> dict[str, Any]:
    """Differentiate a holomorphic loss: Im loss(x + ih) / h has no cancellation, so h is tiny."""
    h = 1e-30
    gradients = {}
    for name, array in arrays.items():
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            moved = array.astype(complex)
            moved[index] += 1j * h
            gradient[index] = loss({**arrays, name: moved}).imag / h
        gradients[name] = gradient
    return gradients


def autograd(torch: Any, loss: Callable[[dict[str, Any]], Any], arrays: Arrays) -> dict[str, Any]:
    leaves = {
        name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in arrays.items()
    }
    loss(leaves).backward()
    return {name: leaf.grad.numpy() for name, leaf in leaves.items()}


def assert_close(got: Arrays, want: Arrays, rtol: float, method: str) -> None:
    assert set(got) == set(want)
    for name in want:
        assert got[name].shape == want[name].shape, f"{method}: shape of d{name}"
        scale = np.abs(want[name]).max()
        assert scale > 0, f"{method}: the test says nothing about {name}"
        error = np.abs(got[name] - want[name]).max() / scale
        assert error < rtol, f"{method}: d{name} is off by {error:.1e} of its largest element"


@pytest.fixture
def agree() -> Callable[..., None]:
    """Return a check: manual gradients == complex-step == PyTorch, and the two losses agree."""
    torch = pytest.importorskip("torch")

    def check(
        arrays: Arrays,
        loss: Callable[[dict[str, np.ndarray]], Any],
        gradients: Arrays,
        torch_loss: Callable[[dict[str, Any]], Any],
    ) -> None:
        leaves = {name: torch.tensor(array) for name, array in arrays.items()}
        np.testing.assert_allclose(loss(dict(arrays)), float(torch_loss(leaves)), rtol=1e-13)
        assert_close(gradients, complex_step(loss, arrays), 1e-10, "complex step")
        assert_close(gradients, autograd(torch, torch_loss, arrays), 1e-10, "torch")

    return check
