"""The names that programs import from `keras.saving`."""

from __future__ import annotations

from .layers.configuration import deserialize, serialize
from .models.saving import load_model, save_model
from .utils.custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)

deserialize_keras_object, serialize_keras_object = deserialize, serialize

__all__ = [
    "CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects", "get_registered_name",
    "get_registered_object", "load_model", "register_keras_serializable", "save_model", "serialize_keras_object",
]  # fmt: skip
