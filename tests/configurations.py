"""Configurations to compare: layers among the arguments are made anew, so they are not the same objects."""

from __future__ import annotations

from typing import Any

from tinygrad_rnn.layers import Layer


def inside(value: Any) -> Any:
    """A layer as its class and configuration, also in lists and dicts; anything else as it is."""
    if isinstance(value, Layer):
        return type(value), inside(value.get_config())
    if isinstance(value, dict):
        return {k: inside(v) for k, v in value.items()}
    return [inside(v) for v in value] if isinstance(value, list) else value
