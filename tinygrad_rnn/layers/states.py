"""What the layers of a model hold beside weights: the random streams of dropout, the kept states of recurrences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import SeedGenerator
from ..core.op import Array
from .layer import Layer
from .rnn import RNN


def streams(layer: Layer) -> list[SeedGenerator]:
    """The random streams of a layer and of all inside it, in order: those that dropout draws from."""
    held = [s for inner in layer.all_layers() for s in vars(inner).values() if isinstance(s, SeedGenerator)]
    return list({id(s): s for s in held}.values())


def set_streams(layer: Layer, states: list[dict[str, Any]]) -> None:
    """Put the streams where those were whose states these are.

    Raises `ValueError` for another number of them, or what is no such state; then nothing is changed.
    """
    own = streams(layer)
    if len(own) != len(states):
        raise ValueError(f"{len(states)} random streams, expected {len(own)}")
    before = [stream.state for stream in own]
    try:
        for stream, state in zip(own, states, strict=True):
            stream.state = state
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        for stream, state in zip(own, before, strict=True):
            stream.state = state
        raise ValueError(f"this is no state of a random stream: {type(error).__name__}: {error}") from error


def kept_states(layer: Layer) -> dict[str, Array]:
    """The states that recurrent layers keep from batch to batch, by number of layer and state."""
    return {
        f"{i}/{j}": state
        for i, inner in enumerate(_recurrent(layer))
        for j, state in enumerate(inner.get_states() or ())
    }


def set_kept_states(layer: Any, states: Mapping[str, Array]) -> None:
    """Keep what `kept_states` gave; layers without an entry keep nothing. `ValueError` for wrong shapes."""
    for i, inner in enumerate(_recurrent(layer)):
        own = [states[f"{i}/{j}"] for j in range(len(states)) if f"{i}/{j}" in states]
        inner.set_states(own or None)


def _recurrent(layer: Any) -> list[RNN]:
    return [inner for inner in layer.all_layers() if isinstance(inner, RNN)]
