"""MultiHeadAttention: several attentions side by side, each on projections of its own."""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..bptt.masked import valid_steps
from ..core.op import Array
from ..core.record import followed
from ..core.tensor import Variable
from ..initializers import Initializer
from ..ops import reshape, sigmoid, softmax, swapaxes, transpose, where
from .arguments import keep_options, switches_training, weight_options
from .attention import AttentionBase, both


class MultiHeadAttention(AttentionBase):
    """`num_heads` attentions side by side: `softmax(q kᵀ / √key_dim) v`, with projections of query, key and value.

    `q = query W_q + b_q` has shape (batch, time, heads, key_dim), k and v alike; the heads' outputs are
    projected to `output_shape` (by default the features of the query). Weights in order: kernel
    (features, heads, key_dim) and bias (heads, key_dim) of query, key and value (`value_dim` wide), of the
    gate between key and value if `use_gate` (`sigmoid(query W_g + b_g)` multiplies the heads' outputs), then
    kernel (heads, value_dim, output) and bias of the output. `attention_axes`: the axes that attention runs
    over, by default all between batch and features.

    A query looks only at what all masks allow: `attention_mask` (batch, query time, value time), the masks of
    query, value and key (given, or those they carry), `use_causal_mask` (nothing behind it) and
    `sliding_window` (less than so many steps away). One that may look at nothing gets weights 0. With
    `return_attention_scores` the result is (output, weights (batch, heads, query time, value time)).
    Vaswani et al. 2017. `flash_attention` has no effect. Raises `ValueError` for inputs or masks that do not fit.

    >>> x = np.ones((2, 5, 4), np.float32)
    >>> MultiHeadAttention(num_heads=2, key_dim=3)(x, x).shape
    (2, 5, 4)
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(dropout, seed, activity_regularizer=activity_regularizer, **options)
        self.value_dim = key_dim if value_dim is None else value_dim
        sizes = {"num_heads": num_heads, "key_dim": key_dim, "value_dim": self.value_dim}
        sizes |= {} if sliding_window is None else {"sliding_window": sliding_window}
        for what, number in sizes.items():
            if not isinstance(number, (int, np.integer)) or number < 1:
                raise ValueError(
                    f"MultiHeadAttention: {what} must be a positive integer, received {number!r}"
                )
        self.num_heads, self.key_dim = num_heads, key_dim
        self.use_bias, self.use_gate, self.sliding_window = bool(use_bias), bool(use_gate), sliding_window
        self.output_sizes = (output_shape,) if isinstance(output_shape, int) else output_shape
        self.attention_axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes
        keep_options(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        keep_options(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Any) -> None:
        """Create kernel and bias of query, key, (gate,) value and output."""
        (*_, query), (*_, value), (*_, key) = input_shape[0], input_shape[1], input_shape[-1]
        heads, k, v = self.num_heads, self.key_dim, self.value_dim
        self._features = (query, value, key)
        self.query_projection = self._projection("query", (query,), (heads, k))
        self.key_projection = self._projection("key", (key,), (heads, k))
        self.gate_projection = self._projection("gate", (query,), (heads, v)) if self.use_gate else ()
        self.value_projection = self._projection("value", (value,), (heads, v))
        output = (query,) if self.output_sizes is None else tuple(self.output_sizes)
        self.output_projection = self._projection("attention_output", (heads, v), output)

    def _projection(self, name: str, inner: tuple[int, ...], outer: tuple[int, ...]) -> tuple[Any, ...]:
        """Kernel and bias of a linear map from axes `inner` to axes `outer`."""
        shapes = {"kernel": (*inner, *outer), "bias": outer}
        return tuple([self._part(name, k, s) for k, s in shapes.items() if self.use_bias or k == "kernel"])

    def _part(self, name: str, kind: str, shape: tuple[int, ...]) -> Variable:
        """A kernel or bias; an initializer repeats its values, so that each weight has one of its own."""
        options = weight_options(self, kind)
        if isinstance(options["initializer"], Initializer):
            options["initializer"] = options["initializer"].clone()
        return self.add_weight(shape, name=f"{name}/{kind}", **options)

    def check_input(self, inputs: Any) -> None:
        """As many features as the layer was built for."""
        super().check_input(inputs)
        features = tuple([x.shape[-1] for x in (inputs[0], inputs[1], inputs[-1])])
        if self.built and features != self._features:
            raise ValueError(
                f"{self.name}: expected {self._features} features of query, value and key, received {features}"
            )

    def __call__(
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        **options: Any,
    ) -> Any:
        """Attend from `query` to `value` by `key` (by default the value); see the class for the rest."""
        inputs = [x for x in (query, value, key) if x is not None]
        masks = [query_mask, value_mask, key_mask]
        if any(m is not None for m in masks):
            options["mask"] = masks
        return super().__call__(query if isinstance(query, (list, tuple)) else inputs, **options)

    @switches_training
    def call(
        self,
        inputs: Any,
        mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Compute the outputs (and the weights)."""
        query, value, key = inputs[0], inputs[1], inputs[-1]
        q = self._by_heads(_project(query, self.query_projection) * (1.0 / math.sqrt(self.key_dim)))
        k = self._by_heads(_project(key, self.key_projection))
        v = self._by_heads(_project(value, self.value_projection))
        scores = q @ swapaxes(k, -1, -2)
        axes = self._attended(query.ndim)
        lengths = [x.shape[a] for x in (query, value) for a in axes]
        allowed = self._allowed(inputs, mask, attention_mask, use_causal_mask)
        if allowed is not None:
            allowed = self._fitted(allowed, (*scores.shape[:-2], *lengths), scores.shape)
            scores = where(allowed, scores, np.finfo(scores.dtype).min)
        weights = softmax(scores)
        weights = weights if allowed is None else where(allowed, weights, 0.0)
        y = self._by_steps(self.dropped(weights) @ v, query.shape)
        if self.use_gate:
            y = y * sigmoid(_project(query, self.gate_projection))
        y = _project(y, self.output_projection, 2)
        return (y, reshape(weights, (*weights.shape[:-2], *lengths))) if return_attention_scores else y

    def _attended(self, ndim: int) -> tuple[int, ...]:
        """The axes that attention runs over, of inputs with `ndim` axes."""
        axes = range(1, ndim - 1) if self.attention_axes is None else self.attention_axes
        return normalize_axis_tuple(axes, ndim, f"{self.name}: attention_axes")

    def _order(self, ndim: int) -> list[int]:
        """Axes of (batch, steps ..., heads, size) with the attended steps behind the heads."""
        axes = self._attended(ndim)
        return [*[a for a in range(ndim - 1) if a not in axes], ndim - 1, *axes, ndim]

    def _by_heads(self, x: Any) -> Any:
        """(batch, steps ..., heads, size) → (batch, other steps ..., heads, attended steps as one axis, size)."""
        moved = transpose(x, self._order(x.ndim - 1))
        kept = x.ndim - 1 - len(self._attended(x.ndim - 1))
        return reshape(moved, (*moved.shape[:kept], -1, moved.shape[-1]))

    def _by_steps(self, y: Any, shape: tuple[int, ...]) -> Any:
        """The reverse of `_by_heads`, for a query of `shape`."""
        order = self._order(len(shape))
        full = (*shape[:-1], self.num_heads, y.shape[-1])
        return transpose(reshape(y, [full[a] for a in order]), np.argsort(order).tolist())

    def _masks(self, inputs: Any, mask: Any) -> list[Any]:
        """Masks of query, value and key: those given, else those that the inputs carry."""
        own = [getattr(x, "_mask", None) for x in inputs]
        own += [None] * (3 - len(own))
        return own if mask is None else [b if a is None else a for a, b in zip_longest(mask, own)]

    def _allowed(self, inputs: Any, mask: Any, attention_mask: Any, causal: bool) -> Any:
        """Which values each query may look at, from all masks; None if there are none."""
        query, value, key = inputs[0], inputs[1], inputs[-1]
        q, v, k = (
            self.own_mask(which, m, x)
            for which, m, x in zip(
                ("query", "value", "key"), self._masks(inputs, mask), (query, value, key), strict=True
            )
        )
        allowed = None if attention_mask is None else valid_steps(attention_mask)
        allowed = both(allowed, None if q is None else q[:, :, None])
        for valid in (v, k):
            allowed = both(allowed, None if valid is None else valid[:, None, :])
        behind = np.subtract.outer(np.arange(query.shape[1]), np.arange(value.shape[1]))[None]
        allowed = both(allowed, behind >= 0 if causal else None)
        return both(allowed, None if self.sliding_window is None else abs(behind) < self.sliding_window)

    def _fitted(self, allowed: Any, full: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        """A mask for all heads, in the shape of the scores; `full` has the attended axes one by one."""
        last = len(full) - len(shape) + 2
        spread = (*allowed.shape[:-last], *[1] * (len(full) - allowed.ndim), *allowed.shape[-last:])
        try:
            return _spread(allowed, spread, full, shape)
        except ValueError:
            raise ValueError(
                f"{self.name}: the masks together have shape {allowed.shape}, which does not fit "
                f"the attention weights {full}"
            ) from None

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the query."""
        return self._masks(inputs, mask)[0]


@followed
def _spread(allowed: Any, by_axes: tuple[int, ...], full: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """A mask in the shape of the scores; `full` is that shape with the attended axes one by one."""
    return np.broadcast_to(np.asarray(allowed).reshape(by_axes), full).reshape(shape)


def _project(x: Any, weights: tuple[Any, ...], inner: int = 1) -> Any:
    """`x W + b` over the last `inner` axes of x; weights of any rank."""
    kernel, *bias = weights
    outer = kernel.shape[inner:]
    flat = reshape(x, (*x.shape[: x.ndim - inner], -1)) @ reshape(kernel, (-1, math.prod(outer)))
    y = reshape(flat, (*flat.shape[:-1], *outer))
    return y + bias[0] if bias else y
