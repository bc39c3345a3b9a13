"""Saving and loading models: architecture, weights, optimizer, loss and history in one archive (`.tgr`).

The manifest is plain JSON, in which classes are named and never imported (`models.plain`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..callbacks import History
from ..config import random_state
from ..container import CheckpointError, below, match_arrays, read_archive, write_archive
from ..layers.layer import Layer
from ..layers.states import kept_states, set_kept_states, set_streams, streams
from ..layers.tracking import largest_weight
from ..utils.custom_objects import custom_object_scope
from .model import Model
from .plain import Reader, Writer


def save_model(
    model: Model, filepath: str | Path, overwrite: bool = True, zipped: bool | None = None
) -> None:
    """Write a model to `filepath` (`.tgr`), atomically: the old file stays whole until the new one is.

    Saved are the architecture, the weights, kept states, the optimizer with its state, loss and metrics, the
    history, all random streams, and `model.extra`. Raises `ValueError` for a model that is not built, for a class
    that has the name of one of this package and is not registered, for functions without a name, and for
    `zipped=False` (it is always one file); `FileExistsError` if there is a file and `overwrite` is False. Then
    nothing is written.
    """
    if zipped is False:
        raise ValueError("save: a model is always saved as one archive; leave out zipped=False")
    target = _target(filepath, ".tgr", overwrite)
    if not model.built:
        raise ValueError(
            f"save: {model.name} has no weights yet; call it on data (or give it an Input) first"
        )
    constants: dict[str, Any] = {}
    writer = Writer(constants)
    manifest: dict[str, Any] = {
        "format": "tinygrad_rnn model",
        "version": 1,
        "model": writer.model(model),
        "extra": model.extra,
        "built_on": writer.value(model.nodes[0].args if model.nodes else model.built_on),
        "history": (model.history or History()).state(),
        "streams": [stream.state for stream in streams(model)],
        "random_state": random_state(),
        "trainable": [v.trainable for v in model.weights],
    }
    arrays = _weights(model, manifest)
    arrays |= {f"states/{key}": value for key, value in kept_states(model).items()}
    if model.optimizer is not None:
        met, state = model.optimizer.state_among(model.weights)
        manifest["compile"] = writer.value({"optimizer": model.optimizer, **model.compile_arguments})
        manifest["optimizer_variables"] = met
        manifest["swapped"] = model.optimizer.swapped
        arrays |= {f"optimizer/{k}": np.asarray(v) for k, v in state.items()}
    write_archive(target, manifest, arrays | constants)


def load_model(
    filepath: str | Path,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    finite: bool = True,
) -> Model:
    """Read a model that `save_model` wrote; `fit(initial_epoch=k, epochs=n)` goes on after its k epochs, bit for bit.

    Raises `CheckpointError` for a damaged or foreign file, or classes that are not known (register your own
    with `utils.register_serializable`, or hand them over in `custom_objects`), `FileNotFoundError` for a
    missing one. Weights that are NaN or infinite are refused, unless `finite` is False. `safe_mode` is accepted as in
    Keras, and has nothing to do: a file never holds code.
    """
    manifest, arrays = read_archive(filepath)
    _check_kind(filepath, manifest, ("tinygrad_rnn model",))
    with _damage_in(filepath), custom_object_scope(custom_objects or {}):
        reader = Reader(arrays)
        limit = largest_weight.set(max([a.size for a in arrays.values()], default=0))
        try:
            model = reader.model(manifest["model"])
            if not model.built:
                model(*reader.value(manifest["built_on"]))
        finally:
            largest_weight.reset(limit)
        _assign(filepath, model, manifest, arrays, finite=finite)
        weights = _in_order_of(manifest, model)
        for variable, trainable in zip(weights, manifest["trainable"], strict=True):
            variable.trainable = bool(trainable)
        set_streams(model, manifest["streams"])
        model.extra = dict(manifest["extra"])
        model.history = History()
        model.history.load_state(manifest["history"])
        states = below("states/", arrays)
        set_kept_states(model, states)  # whether they fit is found out now
        set_kept_states(model, {})
        if model.history.epoch:
            model.left_at = (model.history.epoch[-1] + 1, dict(manifest["random_state"]), states)
        if compile and "compile" in manifest:
            model.compile(**reader.value(manifest["compile"]))
            optimizer = model.optimizer
            optimizer.build([weights[i] for i in manifest["optimizer_variables"]])
            optimizer.load_state(below("optimizer/", arrays))
            optimizer.swapped = bool(manifest["swapped"])
            if optimizer.calls and model.left_at is None:  # a training that `fit` does not take up
                set_kept_states(model, states)
    return model


def save_weights(
    model: Layer, filepath: str | Path, overwrite: bool = True, max_shard_size: float | None = None
) -> None:
    """Write the weights alone (`.weights.tgr`), atomically, into one file.

    Raises `FileExistsError` if there is one and `overwrite` is False, `ValueError` for a `max_shard_size`.
    """
    if max_shard_size is not None:
        raise ValueError("save_weights: the weights are always saved as one file; leave out max_shard_size")
    target = _target(filepath, ".weights.tgr", overwrite)
    manifest: dict[str, Any] = {"format": "tinygrad_rnn weights", "version": 1}
    arrays = _weights(model, manifest)
    write_archive(target, manifest, arrays)


def load_weights(
    model: Layer,
    filepath: str | Path,
    skip_mismatch: bool = False,
    *,
    cast: bool = False,
    finite: bool = True,
) -> None:
    """Read weights, in order, into a built model, from a file of weights or of a model.

    `cast` converts between float types. Raises one `CheckpointError` with every wrong number, shape and dtype and,
    unless `finite` is False, with weights that are NaN or infinite, `ValueError` for `skip_mismatch`; then nothing is
    changed.
    """
    if skip_mismatch:
        raise ValueError(
            "load_weights: weights are loaded all or not at all; leave out skip_mismatch, load them into a model of "
            "their own, and move those that fit with get_weights and set_weights of its layers"
        )
    manifest, arrays = read_archive(filepath)
    _check_kind(filepath, manifest, ("tinygrad_rnn weights", "tinygrad_rnn model"))
    if not model.built:
        raise ValueError(
            f"load_weights: {model.name} is not built yet; call it on data (or give it an Input) first"
        )
    with _damage_in(filepath):
        _assign(filepath, model, manifest, arrays, cast=cast, finite=finite)


@contextmanager
def _damage_in(path: str | Path) -> Iterator[None]:
    """Whatever goes wrong while a model is made from a file is an error of the file."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(path, [f"{type(error).__name__}: {error}"]) from error


def _weights(model: Layer, manifest: dict[str, Any]) -> dict[str, Any]:
    """The weights as arrays, numbered in order; their paths go into the manifest."""
    manifest["weights"] = [v.path for v in model.weights]
    return {f"weights/{i}": v.numpy() for i, v in enumerate(model.weights)}


def _assign(
    path: str | Path,
    model: Layer,
    manifest: dict[str, Any],
    arrays: dict[str, Any],
    finite: bool,
    cast: bool = False,
) -> None:
    """Give every weight its array, if all fit."""
    own, paths = _in_order_of(manifest, model), manifest["weights"]
    names = [f"{i}: {own[i].path if i < len(own) else p}" for i, p in enumerate(paths)]
    stored = {name: arrays[f"weights/{i}"] for i, name in enumerate(names)}
    expected = {f"{i}: {v.path}": v for i, v in enumerate(own)}
    values = match_arrays(path, stored, expected, cast=cast, finite=finite, hints=True)
    for variable, value in zip(own, values.values(), strict=True):
        variable.assign(value)


def _in_order_of(manifest: dict[str, Any], model: Layer) -> list[Any]:
    """The weights in the order of the file, if they have the same paths: an older file may have another one."""
    own, paths = model.weights, manifest["weights"]
    by_path = {v.path: v for v in own}
    same = len(by_path) == len(own) == len(paths) and by_path.keys() == set(paths)
    return [by_path[path] for path in paths] if same else own


def _check_kind(path: str | Path, manifest: dict[str, Any], kinds: tuple[str, ...]) -> None:
    if manifest.get("format") not in kinds:
        raise CheckpointError(path, [f"expected {' or '.join(kinds)}, received {manifest.get('format')!r}"])
    if manifest.get("version") != 1:
        raise CheckpointError(path, [f"expected version 1, received {manifest.get('version')!r}"])


def _target(path: str | Path, ending: str, overwrite: bool) -> Path:
    """Where to write."""
    target = Path(path)
    if not target.name.endswith(ending):
        raise ValueError(f"expected a file name ending in {ending!r}, received {target.name!r}")
    if not overwrite and target.exists():
        raise FileExistsError(
            f"{target} exists, and overwrite is False: choose another name, or give overwrite=True"
        )
    return target


Model.save = save_model  # type: ignore[assignment, method-assign]
Model.save_weights = save_weights  # type: ignore[assignment, method-assign]
Model.load_weights = load_weights  # type: ignore[assignment, method-assign]
