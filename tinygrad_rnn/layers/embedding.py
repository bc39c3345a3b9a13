"""Embedding: a table of trainable rows, looked up by integer ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.record import followed
from ..ops.elementwise import where
from ..ops.indexing import check_ids, is_traced, take
from ..warn import warn
from .arguments import keep_options, weight_options
from .core import refuse
from .layer import Layer


class Embedding(Layer):
    """`y[b, t] = embeddings[ids[b, t]]`: (batch, time) → (batch, time, output_dim).

    With `mask_zero`, id 0 is padding: the layers behind get the mask `ids != 0` (id 0 stays a row, so
    `input_dim` is the vocabulary + 1). Ids outside `0..input_dim-1` raise `ValueError` with the id and
    its position. `weights`: the initial table.

    >>> Embedding(5, 2)(np.array([[0, 4]])).shape
    (1, 2, 2)
    """

    autocast = False  # ids stay as they are: float32 does not hold large ones

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: Any = None,
        lora_alpha: Any = None,
        quantization_config: Any = None,
        *,
        input_length: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        refuse(self, lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        if input_length is not None:
            warn("Embedding: input_length is Keras 2's and has no effect; leave it out")
            del self.arguments["input_length"]
        for name, value in (("input_dim", input_dim), ("output_dim", output_dim)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"Embedding: {name} must be a positive integer, received {value!r}")
        self.input_dim, self.output_dim, self.mask_zero = int(input_dim), int(output_dim), bool(mask_zero)
        keep_options(
            self, "embeddings", embeddings_initializer, embeddings_regularizer, embeddings_constraint
        )
        self._initial_weights = weights

    def build(self, input_shape: Any) -> None:
        """Create the table (input_dim, output_dim)."""
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim), name="embeddings", **weight_options(self, "embeddings")
        )
        if self._initial_weights is not None:
            self.set_weights(
                self._initial_weights if isinstance(self._initial_weights, list) else [self._initial_weights]
            )

    def call(self, inputs: Any) -> Any:
        """Look the rows up."""
        if is_traced(inputs):  # in a cell: NumPy will find those out of range, and take a negative one for it
            return take(self.embeddings, where(inputs < 0, self.input_dim, inputs), axis=0)
        return take(self.embeddings, check_ids(inputs, self.input_dim, f"{self.name}: id"), axis=0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the ids, and `output_dim` behind."""
        return (*input_shape, self.output_dim)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """`ids != 0` with `mask_zero`, else none."""
        return _no_padding(inputs) if self.mask_zero else None


@followed
def _no_padding(ids: Any) -> Any:
    return np.asarray(ids) != 0
