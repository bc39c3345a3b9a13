"""Penalties on weights that are added to the loss: L1, L2, both, and orthogonality."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .ops.creation import eye
from .ops.elementwise import absolute, maximum, square
from .ops.linalg import matmul, norm
from .ops.reduce import sum
from .ops.shape import transpose
from .utils.registry import Registry, Serializable


class Regularizer(Serializable):
    """Base: an object that turns a weight into a penalty, a scalar Tensor.

    >>> import numpy as np
    >>> class Mean(Regularizer):
    ...     def __call__(self, x):
    ...         return x.mean()
    >>> float(Mean()(np.array([1.0, 3.0])))
    2.0
    """

    def __call__(self, x: Any) -> Any:
        """The penalty of the weight `x`."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, x)")


def _strength(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: expected a finite number ≥ 0, received {value!r}")
    return float(value)


class L1L2(Regularizer):
    """`l1 · Σ |x| + l2 · Σ x²`; raises `ValueError` for a negative factor.

    >>> import numpy as np
    >>> float(L1L2(l1=1.0, l2=0.5)(np.array([1.0, -2.0])))
    5.5
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _strength(0.0 if l1 is None else l1, "l1")
        self.l2 = _strength(0.0 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> Any:
        """The penalty of the weight `x`."""
        penalty = self.l1 * sum(absolute(x)) if self.l1 else 0.0
        return penalty + self.l2 * sum(square(x)) if self.l2 or not self.l1 else penalty


class L1(L1L2):
    """`l1 · Σ |x|` (lasso).

    >>> import numpy as np
    >>> float(L1(0.5)(np.array([1.0, -2.0])))
    1.5
    """

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=0.01 if l1 is None else l1)


class L2(L1L2):
    """`l2 · Σ x²` (ridge; without a factor 1/2).

    >>> import numpy as np
    >>> float(L2(0.5)(np.array([1.0, -2.0])))
    2.5
    """

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=0.01 if l2 is None else l2)


class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean |cosine| between two rows (or columns) of a matrix: 0 if they are orthogonal.

    `factor · ½ Σ_{i≠j} |x̂_i · x̂_j| / (n (n − 1) / 2)`, x̂ the rows (`mode="columns"`: columns) of
    length 1. Raises `ValueError` unless the weight is a matrix.

    >>> import numpy as np
    >>> float(OrthogonalRegularizer(1.0)(np.eye(3)))
    0.0
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise ValueError(f"mode: expected 'rows' or 'columns', received {mode!r}")
        self.factor = _strength(factor, "factor")
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        """The penalty of the weight `x`."""
        if len(x.shape) != 2:
            raise ValueError(f"OrthogonalRegularizer: expected a matrix, received shape {x.shape}")
        rows = x if self.mode == "rows" else transpose(x)
        n = rows.shape[0]
        rows = rows / maximum(norm(rows, axis=1, keepdims=True), 1e-7)
        cosines = matmul(rows, transpose(rows)) * (1.0 - eye(n, dtype=x.dtype).numpy())
        return self.factor * 0.5 * sum(absolute(cosines)) / max(n * (n - 1) / 2, 1.0)


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer  # Keras's second names
REGISTRY = Registry("regularizer", [L1, L2, L1L2, OrthogonalRegularizer])
get, deserialize, serialize = REGISTRY.get, REGISTRY.get, REGISTRY.serialize
