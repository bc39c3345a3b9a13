"""Attention with one head: `Attention` (Luong) and `AdditiveAttention` (Bahdanau), and the base of all attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bptt.masked import valid_steps
from ..config import SeedGenerator, mode
from ..core.op import Array
from ..core.record import followed
from ..ops import dropout, expand_dims, softmax, sum, swapaxes, tanh, where
from .arguments import switches_training
from .layer import Layer


class AttentionBase(Layer):
    """Inputs `[query, value]` or `[query, value, key]`, their masks, and the dropout of weights."""

    supports_masking = True

    def __init__(self, rate: float, seed: int | None, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= rate <= 1:
            raise ValueError(f"{type(self).__name__}: dropout must be in [0, 1], received {rate!r}")
        self.dropout = float(rate)
        self.seed, self.seed_generator = seed, SeedGenerator(seed)

    def check_input(self, inputs: Any) -> None:
        """Two or three sequences: one batch, and as many steps of the key as of the value."""
        shapes = [x.shape for x in inputs] if isinstance(inputs, (list, tuple)) else [inputs.shape]
        if not 2 <= len(shapes) <= 3 or min(len(s) for s in shapes) < 3:
            raise ValueError(
                f"{self.name}: expected [query, value] or [query, value, key], each (batch, time, features), "
                f"received shapes {shapes}"
            )
        if len({s[0] for s in shapes}) > 1 or shapes[1][:-1] != shapes[-1][:-1]:
            raise ValueError(
                f"{self.name}: query, value and key must be of one batch, key and value of one length, "
                f"received shapes {shapes}"
            )

    def dropped(self, weights: Any) -> Any:
        """The weights after dropout, while training."""
        if not mode().training or self.dropout == 0:
            return weights
        return dropout(weights, self.dropout, seed=self.seed_generator)

    def own_mask(self, which: str, mask: Any, x: Any) -> Any:
        """A mask of the query, the value or the key: (batch, time)."""
        if mask is None:
            return None
        valid = valid_steps(mask)
        if valid.shape != x.shape[:2]:
            raise ValueError(
                f"{self.name}: expected a mask of shape {x.shape[:2]} for the {which}, received {valid.shape}"
            )
        return valid


def both(a: Any, b: Any) -> Any:
    """What both masks allow; None allows everything."""
    return b if a is None else a if b is None else a & b


@followed
def _lowering(allowed: Any, by: float, dtype: Any) -> Array:
    """What is taken from scores: 0 where they are allowed."""
    return np.where(np.asarray(allowed), 0.0, by).astype(dtype)


class Attention(AttentionBase):
    """`softmax(scores) value` with `scores = query · keyᵀ`: [query, value(, key)] → (batch, query time, features).

    Without a key the value is the key. `score_mode="concat"` scores by `w Σ tanh(scale (query + key))`;
    `use_scale` adds the trained number `scale`. Steps that the value's mask leaves out get no weight, outputs
    of steps that the query's mask leaves out are 0, and `use_causal_mask` hides the steps behind each query. `mask` is
    `[query mask, value mask]`, by default the ones that the inputs carry. With `return_attention_scores` the
    result is (output, weights). Luong et al. 2015. Raises `ValueError` for other inputs or masks.

    >>> x = np.ones((2, 5, 4), np.float32)
    >>> Attention()([x, x]).shape
    (2, 5, 4)
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(dropout, seed, **options)
        if score_mode not in ("dot", "concat"):
            raise ValueError(f"Attention: score_mode must be 'dot' or 'concat', received {score_mode!r}")
        self.use_scale, self.score_mode = bool(use_scale), score_mode

    def build(self, input_shape: Any) -> None:
        """Create `scale` () and, for "concat", `concat_score_weight` ()."""
        self.scale = self.add_weight((), "ones", name="scale") if self.use_scale else None
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def scores(self, query: Any, key: Any) -> Any:
        """How well each key fits each query: (batch, query time, key time)."""
        if self.score_mode == "concat":
            pairs = expand_dims(query, -2) + expand_dims(key, -3)
            pairs = pairs if self.scale is None else pairs * self.scale
            return sum(tanh(pairs), axis=-1) * self.concat_score_weight
        scores = query @ swapaxes(key, -1, -2)
        return scores if self.scale is None else scores * self.scale

    def check_input(self, inputs: Any) -> None:
        """Sequences (batch, time, features), and the key as wide as the query."""
        super().check_input(inputs)
        if inputs[0].shape[2:] != inputs[-1].shape[2:] or inputs[0].ndim != 3:
            raise ValueError(
                f"{self.name}: query and key must have the same features, "
                f"received shapes {[x.shape for x in inputs]}"
            )

    @switches_training
    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Compute the outputs (and the weights)."""
        query, value = inputs[:2]
        masks = [None, None] if mask is None else mask
        allowed = self.own_mask("value", masks[1], value)
        scores = self.scores(query, inputs[-1])
        allowed = None if allowed is None else allowed[:, None, :]
        if use_causal_mask:
            allowed = both(allowed, np.tri(*scores.shape[1:])[None] > 0)
        if allowed is not None:
            lowered = 65504.0 if scores.dtype == np.float16 else 1e9
            scores = scores - _lowering(allowed, lowered, scores.dtype)
        weights = self.dropped(softmax(scores))
        output = weights @ value
        seen = self.own_mask("query", masks[0], query)
        output = output if seen is None else where(seen[..., None], output, 0.0)
        return (output, weights) if return_attention_scores else output

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the query."""
        return None if mask is None else mask[0]


class AdditiveAttention(Attention):
    """As `Attention`, with `scores = Σ scale tanh(query + key)`; `scale` (features,) is trained. Bahdanau et al. 2015.

    Without `use_scale` it is 1.

    >>> x = np.ones((2, 5, 4), np.float32)
    >>> AdditiveAttention()([x, x]).shape
    (2, 5, 4)
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(use_scale, dropout=dropout, **options)

    def build(self, input_shape: Any) -> None:
        """Create `scale` (features,)."""
        self.scale = self.add_weight((input_shape[0][-1],), name="scale") if self.use_scale else None

    def scores(self, query: Any, key: Any) -> Any:
        """How well each key fits each query: (batch, query time, key time)."""
        pairs = tanh(expand_dims(query, -2) + expand_dims(key, -3))
        return sum(pairs if self.scale is None else pairs * self.scale, axis=-1)
