"""First values of weights: constants, random numbers scaled by fan-in and fan-out, orthogonal matrices.

Called with a shape they return an array. A random one repeats its values: its seed is given, or drawn when it is made.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np

from .config import SeedGenerator, draw_seed, floatx
from .core.op import Array
from .ops import random
from .utils.registry import Registry, Serializable


class Initializer(Serializable):
    """Base: `initializer(shape, dtype=None)` returns an array, of `floatx()` unless `dtype` is given.

    >>> class Halves(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return np.full(shape, 0.5, dtype)
    >>> Halves()((2,)).tolist()
    [0.5, 0.5]
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """The values for a weight of this shape."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, shape, dtype=None)")

    def clone(self) -> Self:
        """A new one from the same arguments; without a seed among them it gives other values."""
        return self.from_config(self.get_config())


class Constant(Initializer):
    """One value everywhere; an array is repeated to the shape, and raises `ValueError` if it does not fit.

    >>> Constant(3)((2,)).tolist()
    [3.0, 3.0]
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """The values for a weight of this shape."""
        return np.array(np.broadcast_to(np.asarray(self.value), shape), dtype or floatx())


class Zeros(Constant):
    """Zeros.

    >>> Zeros()((2,)).tolist()
    [0.0, 0.0]
    """

    def __init__(self) -> None:
        super().__init__(0)


class Ones(Constant):
    """Ones.

    >>> Ones()((2,)).tolist()
    [1.0, 1.0]
    """

    def __init__(self) -> None:
        super().__init__(1)


class Identity(Initializer):
    """`gain` times the identity matrix; raises `ValueError` unless the shape has two axes.

    >>> Identity(2.0)((2, 2)).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """The values for a weight of this shape."""
        if len(shape) != 2:
            raise ValueError(f"Identity: expected a matrix, received shape {tuple(shape)}")
        return np.asarray(self.gain * np.eye(*shape), dtype or floatx())


class RandomInitializer(Initializer):
    """Base of the random ones: `seed` is an int, a `SeedGenerator` (calls go on in its stream) or None.

    >>> RandomNormal().seed == RandomNormal(seed=3).seed
    False
    """

    def __init__(self, seed: int | SeedGenerator | None = None) -> None:
        self._given = seed.seed if isinstance(seed, SeedGenerator) else seed
        self.seed = draw_seed() if seed is None else seed

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object; a seed that was drawn is None again."""
        return {**super().get_config(), "seed": self._given}


class RandomNormal(RandomInitializer):
    """Normally distributed numbers.

    >>> RandomNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """The values for a weight of this shape."""
        return np.array(random.normal(shape, self.mean, self.stddev, dtype, self.seed))


class TruncatedNormal(RandomNormal):
    """Normal numbers, those further than two `stddev` from `mean` drawn again.

    >>> bool((abs(TruncatedNormal(stddev=0.5, seed=1)((100,))) <= 1).all())
    True
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """The values for a weight of this shape."""
        return np.array(random.truncated_normal(shape, self.mean, self.stddev, dtype, self.seed))


class RandomUniform(RandomInitializer):
    """Numbers spread evenly over `[minval, maxval)`.

    >>> bool((abs(RandomUniform(seed=1)((100,))) <= 0.05).all())
    True
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """The values for a weight of this shape."""
        return np.array(random.uniform(shape, self.minval, self.maxval, dtype, self.seed))


class Orthogonal(RandomInitializer):
    """`gain` times a matrix with orthogonal rows or columns (the fewer); leading axes count as rows.

    Q of the QR decomposition of a normal matrix, its columns times sign(diag R) (Saxe et al. 2014). Raises
    `ValueError` for fewer than two axes.

    >>> q = Orthogonal(seed=1)((3, 3))
    >>> bool(np.allclose(q @ q.T, np.eye(3), atol=1e-6))
    True
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """The values for a weight of this shape."""
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: expected at least two axes, received shape {tuple(shape)}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = random.normal((max(rows, columns), min(rows, columns)), dtype="float64", seed=self.seed)
        q, r = np.linalg.qr(normal.numpy())
        q = q * np.copysign(1.0, np.diagonal(r))
        return np.array(
            self.gain * (q.T if rows < columns else q).reshape(shape), dtype or floatx(), order="C"
        )


class VarianceScaling(RandomInitializer):
    """Random numbers of variance `scale / n`, n = fan-in, fan-out or their mean ("fan_avg").

    `distribution`: "truncated_normal" (cut at two standard deviations, widened to keep the variance),
    "untruncated_normal" or "uniform" (limit √(3 · variance)). For a kernel `(…, in, out)` the leading axes
    multiply both fans, unless `input_axes` and `output_axes` name the axes of each. Raises `ValueError` for another
    mode or distribution, or a scale that is not positive.

    >>> round(float(VarianceScaling(2.0, seed=1)((500, 100)).var() * 500), 1)
    2.0
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        super().__init__(seed)
        if not scale > 0:
            raise ValueError(f"scale: expected a positive number, received {scale!r}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"mode: expected 'fan_in', 'fan_out' or 'fan_avg', received {mode!r}")
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise ValueError(
                "distribution: expected 'truncated_normal', 'untruncated_normal' or 'uniform', "
                f"received {distribution!r}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """The values for a weight of this shape."""
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return np.array(random.uniform(shape, -limit, limit, dtype, self.seed))
        if self.distribution == "untruncated_normal":
            return np.array(random.normal(shape, 0.0, math.sqrt(variance), dtype, self.seed))
        stddev = math.sqrt(variance) / 0.87962566103423978  # the deviation of a normal cut at ± 2
        return np.array(random.truncated_normal(shape, 0.0, stddev, dtype, self.seed))


def fans(shape: Any, input_axes: Any = None, output_axes: Any = None) -> tuple[float, float]:
    """Numbers of inputs and outputs that a weight of this shape joins.

    >>> fans((3, 4)), fans((5, 3, 4)), fans((7,))
    ((3, 4), (15, 20), (7, 7))
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[i] for i in input_axes), math.prod(shape[i] for i in output_axes)
    if len(shape) < 2:
        n = shape[0] if shape else 1
        return n, n
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


class _Scaled(VarianceScaling):
    """A `VarianceScaling` whose arguments are a row of the table below."""

    row: ClassVar[tuple[float, str, str]]

    def __init__(self, seed: Any = None, input_axes: Any = None, output_axes: Any = None) -> None:
        super().__init__(*self.row, seed, input_axes, output_axes)


class GlorotUniform(_Scaled):
    """Uniform with variance 2 / (fan-in + fan-out) (Glorot & Bengio 2010): the default of kernels.

    >>> w = GlorotUniform(seed=1)((3, 3))
    >>> bool(abs(w).max() <= 1.0)
    True
    """

    row = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal with variance 2 / (fan-in + fan-out) (Glorot & Bengio 2010).

    >>> w = GlorotNormal(seed=1)((400, 600))
    >>> bool(abs(w.var() - 2 / 1000) < 1e-4)
    True
    """

    row = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform with variance 2 / fan-in (He et al. 2015): for relu.

    >>> w = HeUniform(seed=1)((6, 3))
    >>> bool(abs(w).max() <= 1.0)
    True
    """

    row = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal with variance 2 / fan-in (He et al. 2015): for relu.

    >>> w = HeNormal(seed=1)((500, 400))
    >>> bool(abs(w.var() - 2 / 500) < 2e-4)
    True
    """

    row = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform with variance 1 / fan-in (LeCun et al. 1998): for selu.

    >>> w = LecunUniform(seed=1)((3, 9))
    >>> bool(abs(w).max() <= 1.0)
    True
    """

    row = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal with variance 1 / fan-in (LeCun et al. 1998): for selu.

    >>> w = LecunNormal(seed=1)((500, 400))
    >>> bool(abs(w.var() - 1 / 500) < 1e-4)
    True
    """

    row = (1.0, "fan_in", "truncated_normal")


# Keras's second names
zeros, ones, constant, identity, orthogonal = Zeros, Ones, Constant, Identity, Orthogonal
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
glorot_uniform, glorot_normal, he_uniform, he_normal = GlorotUniform, GlorotNormal, HeUniform, HeNormal
lecun_uniform, lecun_normal, variance_scaling = LecunUniform, LecunNormal, VarianceScaling
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal

REGISTRY = Registry(
    "initializer",
    [Zeros, Ones, Constant, Identity, RandomNormal, TruncatedNormal, RandomUniform, Orthogonal,
     VarianceScaling, GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal],
    {"zero": Zeros, "one": Ones, "normal": RandomNormal, "uniform": RandomUniform,
     "IdentityInitializer": Identity, "OrthogonalInitializer": Orthogonal},
)  # fmt: skip
deserialize, serialize = REGISTRY.get, REGISTRY.serialize


def get(identifier: Any) -> Any:
    """The initializer that a name, config dict, class, array or object means; names make a new one each time.

    Raises `ValueError` with the nearest known name for an unknown one.

    >>> get("he_normal")((2, 3)).shape
    (2, 3)
    """
    return Constant(identifier) if isinstance(identifier, np.ndarray) else REGISTRY.get(identifier)
