"""`Preprocessing`: a layer that takes lists as well as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..layer import Layer
from ..symbolic import Symbol


class Preprocessing(Layer):
    """Base of the preprocessing layers: inputs go through `prepare` before anything else is done with them."""

    autocast = False

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a layer from `get_config()`, which holds the vocabulary; `ValueError` for the path of a file."""
        if isinstance(config.get("vocabulary"), (str, Path)):
            raise ValueError(
                f"{cls.__name__}.from_config: a config holds a vocabulary, not the path of a file"
            )
        return super().from_config(config)

    def prepare(self, inputs: Any) -> Any:
        """The inputs as one array."""
        return np.asarray(inputs)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the layer."""
        return super().__call__(
            inputs if isinstance(inputs, Symbol) else self.prepare(inputs), *args, **kwargs
        )
