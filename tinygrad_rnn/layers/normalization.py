"""Layers that shift and scale features to mean 0 and variance 1: batch, layer, group, RMS and unit norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .. import initializers
from ..bptt.masked import of_elements, valid_steps
from ..config import epsilon as tiny
from ..config import mode
from ..core.op import Array
from ..core.record import followed, repeatable
from ..ops import layer_normalization, mean, normalize, reshape, rms_normalization, rsqrt, sum, where
from ..ops.normalizing import along
from .arguments import keep_options, switches_training, weight_options
from .layer import Layer


class _Normalization(Layer):
    """Base of what normalizes along axes whose lengths are fixed when the layer is built."""

    supports_masking = True
    one_input = True

    def __init__(self, axis: Any = -1, epsilon: float = 1e-3, **options: Any) -> None:
        super().__init__(**options)
        self.axis, self.epsilon = axis, float(epsilon)

    def build(self, input_shape: Any) -> None:
        """Create the weights, with the lengths of the axes."""
        self._lengths = self._along(input_shape)
        if None in self._lengths:
            raise ValueError(
                f"{self.name}: the length of axis {self.axis} must be known, received shape {input_shape}"
            )
        self.add_weights(self._lengths)

    def add_weights(self, lengths: tuple[int, ...]) -> None:
        """Create the weights for axes of these lengths."""

    def check_input(self, inputs: Any) -> None:
        """The axes exist, and have the lengths that the layer was built for."""
        found = self._along(inputs.shape)
        if self.built and found != self._lengths:
            raise ValueError(
                f"{self.name}: expected length {self._lengths} on axis {self.axis}, received shape {inputs.shape}"
            )

    def _axes(self, ndim: int) -> tuple[int, ...]:
        return tuple(sorted(normalize_axis_tuple(self.axis, ndim, self.name)))

    def _along(self, shape: Any) -> tuple[int, ...]:
        return tuple([shape[a] for a in self._axes(len(shape))])

    def _spread(self, weight: Any, y: Any) -> Any:
        """A weight in the shape in which it broadcasts over `y`."""
        return along(weight, y, self._axes(y.ndim))


class _Affine(_Normalization):
    """Normalization followed by a trained `gamma y + beta`."""

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(axis, epsilon, **options)
        self.center, self.scale = bool(center), bool(scale)
        keep_options(self, "gamma", gamma_initializer, gamma_regularizer, gamma_constraint)
        keep_options(self, "beta", beta_initializer, beta_regularizer, beta_constraint)

    def add_weights(self, lengths: tuple[int, ...]) -> None:
        """Create gamma (if `scale`) and beta (if `center`)."""
        self.gamma = (
            self.add_weight(lengths, name="gamma", **weight_options(self, "gamma")) if self.scale else None
        )
        self.beta = (
            self.add_weight(lengths, name="beta", **weight_options(self, "beta")) if self.center else None
        )

    def _affine(self, y: Any) -> Any:
        y = y if self.gamma is None else y * self._spread(self.gamma, y)
        return y if self.beta is None else y + self._spread(self.beta, y)


def _one(owner: str, axis: Any) -> int:
    """The axis of the features: an int."""
    if not isinstance(axis, (int, np.integer)):
        raise ValueError(f"{owner}: axis must be an integer, received {axis!r}")
    return int(axis)


class LayerNormalization(_Affine):
    """`y = gamma (x − mean) / √(variance + ε) + beta`, over the features of each example (and time step).

    `axis` (an int or several) names the axes that are averaged over; gamma and beta have their lengths. The
    variance is the biased one. Ba et al. 2016. Further arguments: beta_ and gamma_ `initializer`,
    `regularizer` and `constraint`. Raises `ValueError` for axes of another length than at first.

    >>> LayerNormalization(epsilon=0.0)(np.array([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self, axis: Any = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True, **options: Any
    ) -> None:
        super().__init__(axis, epsilon, center, scale, **options)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return layer_normalization(inputs, self.gamma, self.beta, self._axes(inputs.ndim), self.epsilon)


class GroupNormalization(_Affine):
    """As `LayerNormalization`, but over all axes behind the batch, and for each group of features alone.

    `groups` must divide the features on `axis`; −1 means one group per feature. Wu and He 2018. Raises
    `ValueError` if it does not.

    >>> GroupNormalization(2, epsilon=0.0)(np.array([[1.0, 3.0, 5.0, 9.0]])).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(_one("GroupNormalization", axis), epsilon, center, scale, **options)
        self.groups = groups

    def add_weights(self, lengths: tuple[int, ...]) -> None:
        """Create gamma and beta, if the groups divide the features."""
        self._groups = lengths[0] if self.groups == -1 else self.groups
        if self._groups < 1 or lengths[0] % self._groups:
            raise ValueError(f"{self.name}: {self.groups} groups do not divide {lengths[0]} features")
        super().add_weights(lengths)

    def call(self, inputs: Any) -> Any:
        """Give each group an axis of its own, normalize, and join them again."""
        shape, (axis,) = inputs.shape, self._axes(inputs.ndim)
        split = (*shape[:axis], self._groups, shape[axis] // self._groups, *shape[axis + 1 :])
        others = tuple([a for a in range(1, len(split)) if a != axis])
        y = layer_normalization(reshape(inputs, split), axis=others, epsilon=self.epsilon)
        return self._affine(reshape(y, shape))


class RMSNormalization(_Normalization):
    """`y = scale · x / √(mean x² + ε)` over `axis`. Zhang and Sennrich 2019.

    >>> RMSNormalization()(np.array([[3.0, -3.0]])).round(3).tolist()
    [[1.0, -1.0]]
    """

    supports_masking = False  # as in Keras

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **options: Any) -> None:
        super().__init__(axis, epsilon, **options)

    def add_weights(self, lengths: tuple[int, ...]) -> None:
        """Create the scale."""
        self.scale = self.add_weight(lengths, "ones", name="scale")

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return rms_normalization(inputs, self.scale, self._axes(inputs.ndim), self.epsilon)


class UnitNormalization(Layer):
    """`y = x / max(|x|, 1e-12)`: vectors of length 1 along `axis`.

    >>> UnitNormalization()(np.array([[0.0, 4.0]])).tolist()
    [[0.0, 1.0]]
    """

    supports_masking = True
    one_input = True

    def __init__(self, axis: Any = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return normalize(inputs, self.axis, epsilon=1e-12)


class BatchNormalization(_Affine):
    """`y = gamma (x − mean) / √(variance + ε) + beta`, for each feature over batch and time.

    While training, mean and (biased) variance are those of the batch, without the steps that the mask
    leaves out, and the moving averages follow: `moving = momentum · moving + (1 − momentum) · batch`.
    Otherwise, and if `trainable` is False, the moving averages are used. They are weights that no optimizer
    changes; a batch that is empty, masked throughout or not finite leaves them as they are, and so does one
    whose update fails. Ioffe and Szegedy 2015.

    `axis` is that of the features. Raises `ValueError` for `renorm` and `synchronized`, which this package
    does not have, for a mask that is not the inputs' shape without its last axis, and for another number of
    features than at first.

    >>> layer = BatchNormalization(momentum=0.5, epsilon=0.0)
    >>> layer(np.array([[1.0], [3.0]]), training=True).tolist(), layer.moving_mean.tolist()
    ([[-1.0], [1.0]], [1.0])
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        renorm: bool = False,
        synchronized: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(_one("BatchNormalization", axis), epsilon, center, scale, **options)
        if renorm or synchronized:
            raise ValueError("BatchNormalization: renorm and synchronized are not offered; leave them False")
        self.momentum, self.renorm, self.synchronized = float(momentum), False, False
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def add_weights(self, lengths: tuple[int, ...]) -> None:
        """Create gamma, beta and the moving averages."""
        super().add_weights(lengths)
        self.moving_mean, self.moving_variance = (
            self.add_weight(lengths, getattr(self, f"{name}_initializer"), trainable=False, name=name)
            for name in ("moving_mean", "moving_variance")
        )
        self._start = (self.moving_mean._data, self.moving_variance._data)

    @property
    def _states(self) -> tuple[Array, Array] | None:
        """The moving averages, which the training loop puts back when a batch fails; None before building."""
        return (self.moving_mean._data, self.moving_variance._data) if self.built else None

    @_states.setter
    def _states(self, values: tuple[Array, Array] | None) -> None:
        if self.built:
            for variable, value in zip(
                (self.moving_mean, self.moving_variance), values or self._start, strict=True
            ):
                variable.replace(value)

    @switches_training
    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Compute the outputs; while training, move the averages."""
        if mode().training and self.trainable:
            centre, variance = self._moments(inputs, mask)
        else:
            centre, variance = (self._spread(v, inputs) for v in (self.moving_mean, self.moving_variance))
        return self._affine((inputs - centre) * rsqrt(variance + self.epsilon))

    def _moments(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        """Mean and variance of the batch, of length 1 on all axes but that of the features."""
        (axis,) = self._axes(inputs.ndim)
        others = tuple([a for a in range(inputs.ndim) if a != axis])
        if mask is None:
            centre = mean(inputs, others, keepdims=True)
            centred = inputs - centre
            variance = mean(centred * centred, others, keepdims=True)
            seen: Any = math.prod([inputs.shape[a] for a in others])
        else:
            valid = valid_steps(mask)
            if valid.shape != inputs.shape[:-1]:
                raise ValueError(
                    f"{self.name}: expected a mask of shape {inputs.shape[:-1]}, received {valid.shape}"
                )
            seen = valid = of_elements(valid, inputs.shape)
            count = _count(valid, others, tiny(), inputs.dtype)  # Keras adds ε here too
            centre = sum(where(valid, inputs, 0.0), others, keepdims=True) / count
            centred = where(valid, inputs - centre, 0.0)
            variance = sum(centred * centred, others, keepdims=True) / count
        averages, monitor = (self.moving_mean, self.moving_variance), mode().monitor
        for variable, value in zip(
            averages, _moved(*averages, centre, variance, self.momentum, seen), strict=True
        ):
            variable.replace(value)
            if monitor is not None:
                monitor.assigned(variable, value)
        return centre, variance


@followed
def _count(valid: Any, axes: tuple[int, ...], more: float, dtype: Any) -> Any:
    """How many elements count along some axes, and a little more."""
    return (np.sum(np.asarray(valid), axes, keepdims=True) + more).astype(dtype)


@repeatable
def _moved(mean: Any, variance: Any, centre: Any, spread: Any, momentum: float, seen: Any) -> list[Array]:
    """Moving averages after a batch; as they are if nothing was `seen`, or not all of it is finite."""
    averages, batch = [np.asarray(mean), np.asarray(variance)], [np.asarray(centre), np.asarray(spread)]
    moved = [
        momentum * old + (1.0 - momentum) * np.reshape(new, -1)
        for old, new in zip(averages, batch, strict=True)
    ]
    return moved if np.any(seen) and np.isfinite(moved).all() else averages
