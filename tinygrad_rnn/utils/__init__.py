"""Helpers around data, names and pictures, with Keras's names; each is imported when it is first used.

The lowest floors of the package take `utils.registry` from here, so nothing else is loaded with it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..config import set_random_seed
from .custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    register_serializable,
)
from .packing import pack_x_y_sample_weight, unpack_x_y_sample_weight

if TYPE_CHECKING:
    from ..backend import clear_session
    from .data import PyDataset, Sequence, split_dataset
    from .labels import normalize, to_categorical
    from .plotting import plot_model
    from .sequences import pad_sequences
    from .timeseries import TimeseriesDataset, timeseries_dataset_from_array

_NAMES = {  # public name -> module it comes from
    "clear_session": ".backend",
    "PyDataset": "data", "Sequence": "data", "split_dataset": "data",
    "normalize": "labels", "to_categorical": "labels",
    "pad_sequences": "sequences",
    "plot_model": "plotting",
    "TimeseriesDataset": "timeseries", "timeseries_dataset_from_array": "timeseries",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what was not needed until now."""
    if name in _NAMES:
        return getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])


__all__ = [
    "CustomObjectScope", "PyDataset", "Sequence", "TimeseriesDataset", "clear_session", "custom_object_scope",
    "get_custom_objects", "get_registered_name", "get_registered_object", "normalize",
    "pack_x_y_sample_weight", "pad_sequences",
    "plot_model", "register_keras_serializable", "register_serializable", "set_random_seed", "split_dataset",
    "timeseries_dataset_from_array", "to_categorical",
    "unpack_x_y_sample_weight",
]  # fmt: skip
