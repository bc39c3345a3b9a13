"""Saving and loading models: architecture, weights, optimizer and loss in one archive (`.tgr`).

The manifest is plain JSON. Classes are named, never imported: only the layers of this package, what was
registered, and what the caller hands over in `custom_objects`, can come out of a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import activations, constraints, initializers, losses, metrics, optimizers, regularizers
from ..config import SeedGenerator, no_grad
from ..container import CheckpointError, match_arrays, read_archive, write_archive
from ..core.tensor import Tensor
from ..layers import LAYERS
from ..layers.layer import Layer
from ..layers.symbolic import Symbol, flatten, map_nested
from ..utils.custom_objects import custom_object_scope, get_registered_name
from ..utils.custom_objects import custom_objects as all_custom_objects
from .model import Model
from .sequential import Sequential

_MODELS: dict[str, type[Model]] = {"Sequential": Sequential, "Model": Model}
_REGISTRIES = {
    "activation": activations.REGISTRY,
    "initializer": initializers.REGISTRY,
    "regularizer": regularizers.REGISTRY,
    "constraint": constraints.REGISTRY,
    "loss": losses.REGISTRY,
    "metric": metrics.REGISTRY,
    "optimizer": optimizers.REGISTRY,
}


# --- configuration <-> plain data -----------------------------------------------------------------


def _to_plain(value: Any) -> Any:
    """A configuration value as JSON data."""
    if isinstance(value, Symbol):
        return {"$symbol": list(value.shape), "dtype": value.dtype, "name": value.name}
    if isinstance(value, Model) and not isinstance(value, Sequential):
        return {"$model": _model_config(value)}
    if isinstance(value, Layer):
        return {"$layer": get_registered_name(type(value)), "config": _to_plain(value.get_config())}
    if isinstance(value, (list, tuple)):
        return [_to_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _to_plain(v) for k, v in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (np.ndarray, Tensor)):
        return {"$array": np.asarray(value).tolist(), "dtype": str(value.dtype)}
    return _describe(value)


def _describe(value: Any) -> dict[str, Any]:
    """An object or function of a registry as its kind and config; one of the user's by its name."""
    for kind, registry in _REGISTRIES.items():
        config = registry.serialize(value)
        named = isinstance(config, dict) and registry.knows(config.get("class_name"))
        if isinstance(config, str) or (named and registry.find(config["class_name"]) is type(value)):
            return {"$object": kind, "config": config}
    if hasattr(value, "get_config") and not isinstance(value, type):
        name = get_registered_name(type(value))
        return {"$object": "custom", "config": {"class_name": name, "config": _to_plain(value.get_config())}}
    name = get_registered_name(value) if hasattr(value, "__name__") else type(value).__name__
    if name in activations.FUNCTIONS and value.__module__ == "tinygrad_rnn.ops":  # the op instead of its twin
        return {"$object": "activation", "config": name}
    if name == "<lambda>":
        raise ValueError(
            "save: a lambda cannot be saved, a file never holds code; give a named function, and hand it to "
            "load_model(path, custom_objects={name: function})"
        )
    return {"$object": "custom", "config": name}


def _from_plain(value: Any, custom: dict[str, Any]) -> Any:
    """The reverse of `_to_plain`; unknown names raise `ValueError`."""
    if isinstance(value, list):
        return [_from_plain(v, custom) for v in value]
    if not isinstance(value, dict):
        return value
    if "$symbol" in value:
        return Symbol(tuple(value["$symbol"]), value["dtype"], name=value.get("name"))
    if "$layer" in value:
        return _class(value["$layer"], custom).from_config(_from_plain(value["config"], custom))
    if "$model" in value:
        return _make_model(value["$model"], custom)
    if "$array" in value:
        return np.asarray(value["$array"], dtype=value["dtype"])
    if "$object" in value:
        if value["$object"] != "custom":
            return _REGISTRIES[value["$object"]].get(value["config"])
        own = value["config"]
        name = own["class_name"] if isinstance(own, dict) else own
        if name not in custom:
            raise ValueError(
                f"the file names {name!r}, which is not part of this package; register it before loading, or "
                "hand it over in custom_objects"
            )
        if isinstance(own, dict):
            return custom[name].from_config(_from_plain(own["config"], custom))
        return custom[name]
    return {k: _from_plain(v, custom) for k, v in value.items()}


def _class(name: str, custom: dict[str, Any]) -> Any:
    found = custom.get(name) or LAYERS.get(name) or _MODELS.get(name)
    if found is None:
        raise ValueError(
            f"the file names the class {name!r}, which is not one of this package; register it before "
            f"loading, or hand it over: load_model(path, custom_objects={{{name!r}: ...}})"
        )
    return found


def _model_config(model: Model) -> dict[str, Any]:
    """Architecture as plain data: a stack, or layers and the calls between them."""
    if isinstance(model, Sequential):
        return {"class": "Sequential", "config": _to_plain(model.get_config())}
    if type(model) is not Model or model._input is None:
        raise ValueError(
            f"save: {type(model).__name__} is a subclass; its call() is Python code, which a file cannot hold; "
            "save its weights with save_weights(path), and make the model anew before load_weights"
        )
    inputs = list(flatten(model.input))
    known = {id(s): ["input", i] for i, s in enumerate(inputs)}
    layers = model._functional_layers
    index = {id(layer): i for i, layer in enumerate(layers)}
    order = {id(c): i for i, c in enumerate(model._calls)}

    def reference(item: Any) -> Any:
        if not isinstance(item, Symbol):
            return _to_plain(item)
        return {"$ref": known.get(id(item)) or ["call", order[id(item.call)], item.index]}

    return {
        "class": "Model",
        "name": model.name,
        "inputs": map_nested(_to_plain, model.input),
        "layers": [_to_plain(layer) for layer in layers],
        "calls": [
            {
                "layer": index[id(c.layer)],
                "args": map_nested(reference, list(c.args)),
                "kwargs": map_nested(reference, c.kwargs),
            }
            for c in model._calls
        ],
        "outputs": map_nested(reference, model.output),
    }


def _make_model(config: dict[str, Any], custom: dict[str, Any]) -> Model:
    if config["class"] == "Sequential":
        return Sequential(**_from_plain(config["config"], custom))
    symbols = _from_plain(config["inputs"], custom)
    inputs = list(flatten(symbols))
    layers = [_from_plain(x, custom) for x in config["layers"]]
    results: list[list[Symbol]] = []

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(v) for v in value]
        if isinstance(value, dict) and "$ref" in value:
            kind, *where = value["$ref"]
            return inputs[where[0]] if kind == "input" else results[where[0]][where[1]]
        if isinstance(value, dict):
            return {k: resolve(v) for k, v in value.items()}
        return _from_plain(value, custom)

    for call in config["calls"]:
        out = layers[call["layer"]](*resolve(call["args"]), **resolve(call["kwargs"]))
        results.append(list(flatten(out)))
    return Model(symbols, resolve(config["outputs"]), name=config["name"])


# --- files ----------------------------------------------------------------------------------------


def save_model(model: Model, path: str | Path) -> None:
    """Write a model to `path` (`.tgr`), atomically: the old file stays whole until the new one is.

    Saved are the architecture, the weights, the optimizer with its state, loss and metrics, and
    `model.extra`. Raises `ValueError` for a subclassed or unbuilt model.
    """
    target = _with_ending(path, ".tgr")
    if not model.built:
        raise ValueError(
            f"save: {model.name} has no weights yet; call it on data (or give it an Input) first"
        )
    manifest: dict[str, Any] = {"format": "tinygrad_rnn model", "version": 1, "model": _model_config(model)}
    manifest["extra"] = model.extra
    manifest["built_on"] = _to_plain(getattr(model, "built_on", None))
    manifest["streams"] = [s.state for s in _streams(model)]
    manifest["trainable"] = [v.trainable for v in model.weights]
    arrays = _weights(model, manifest)
    if model.optimizer is not None:
        manifest["compile"] = _to_plain(model.compile_arguments)
        manifest["optimizer"] = optimizers.serialize(model.optimizer)
        place = {id(v): i for i, v in enumerate(model.weights)}
        manifest["optimizer_variables"] = [place[id(v)] for v in model.optimizer.variables]
        arrays |= {f"optimizer/{k}": np.asarray(v) for k, v in model.optimizer.state().items()}
    write_archive(target, manifest, arrays)


def load_model(path: str | Path, custom_objects: dict[str, Any] | None = None, compile: bool = True) -> Model:
    """Read a model that `save_model` wrote.

    Raises `CheckpointError` for a damaged or foreign file, or classes that are not known (register your own
    with `utils.register_serializable`, or hand them over in `custom_objects`), `FileNotFoundError` for a
    missing one.
    """
    manifest, arrays = read_archive(path)
    _check_kind(path, manifest, ("tinygrad_rnn model",))
    custom = all_custom_objects(custom_objects)
    try:
        model = _make_model(manifest["model"], custom)
        if not model.built:
            with no_grad():
                model(
                    map_nested(
                        lambda s: np.zeros((1, *s.shape[1:]), s.dtype),
                        _from_plain(manifest["built_on"], custom),
                    )
                )
            model.reset_state()  # what stateful layers kept of the zeros
        _assign(path, model, manifest, arrays)
        for variable, trainable in zip(model.weights, manifest["trainable"], strict=True):
            variable.trainable = trainable
        for stream, state in zip(_streams(model), manifest["streams"], strict=True):
            stream.state = state
        model.extra = manifest["extra"]
        if compile and "optimizer" in manifest:
            with custom_object_scope(custom):
                optimizer = optimizers.get(manifest["optimizer"])
            model.compile(optimizer, **_from_plain(manifest["compile"], custom))
            weights = model.weights
            optimizer.build([weights[i] for i in manifest["optimizer_variables"]])
            optimizer.load_state(
                {k.removeprefix("optimizer/"): v for k, v in arrays.items() if k.startswith("optimizer/")}
            )
    except CheckpointError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(path, [f"{type(error).__name__}: {error}"]) from error
    return model


def save_weights(model: Layer, path: str | Path) -> None:
    """Write the weights alone (`.weights.tgr`), atomically."""
    manifest: dict[str, Any] = {"format": "tinygrad_rnn weights", "version": 1}
    arrays = _weights(model, manifest)
    write_archive(_with_ending(path, ".weights.tgr"), manifest, arrays)


def load_weights(model: Layer, path: str | Path) -> None:
    """Read weights, in order, into a built model, from a file of weights or of a model.

    Raises one `CheckpointError` with every wrong number, shape and dtype and with weights that are NaN or
    infinite; then nothing is changed.
    """
    manifest, arrays = read_archive(path)
    _check_kind(path, manifest, ("tinygrad_rnn weights", "tinygrad_rnn model"))
    if not model.built:
        raise ValueError(
            f"load_weights: {model.name} is not built yet; call it on data (or give it an Input) first"
        )
    _assign(path, model, manifest, arrays)


def _weights(model: Layer, manifest: dict[str, Any]) -> dict[str, Any]:
    """The weights as arrays, numbered in order; their paths go into the manifest."""
    manifest["weights"] = [v.path for v in model.weights]
    return {f"weights/{i}": v.numpy() for i, v in enumerate(model.weights)}


def _assign(path: str | Path, model: Layer, manifest: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Give every weight its array, if all fit."""
    own, paths = model.weights, manifest["weights"]
    names = [f"{i}: {own[i].path if i < len(own) else p}" for i, p in enumerate(paths)]
    stored = {name: arrays[f"weights/{i}"] for i, name in enumerate(names)}
    values = match_arrays(path, stored, {f"{i}: {v.path}": v for i, v in enumerate(own)})
    for variable, value in zip(own, values.values(), strict=True):
        variable.assign(value)


def _streams(model: Layer) -> list[SeedGenerator]:
    """The random streams of all layers, in order: those that dropout draws from."""
    held = [s for layer in model.all_layers() for s in vars(layer).values() if isinstance(s, SeedGenerator)]
    return list({id(s): s for s in held}.values())


def _check_kind(path: str | Path, manifest: dict[str, Any], kinds: tuple[str, ...]) -> None:
    if manifest.get("format") not in kinds:
        raise CheckpointError(path, [f"expected {' or '.join(kinds)}, received {manifest.get('format')!r}"])
    if manifest.get("version") != 1:
        raise CheckpointError(path, [f"expected version 1, received {manifest.get('version')!r}"])


def _with_ending(path: str | Path, ending: str) -> Path:
    target = Path(path)
    if not target.name.endswith(ending):
        raise ValueError(f"expected a file name ending in {ending!r}, received {target.name!r}")
    return target


Model.save = save_model  # type: ignore[assignment, method-assign]
Model.save_weights = save_weights  # type: ignore[assignment, method-assign]
Model.load_weights = load_weights  # type: ignore[assignment, method-assign]
