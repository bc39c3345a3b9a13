"""Keras's public names and arguments, read from the installed Keras: `python tests/keras_names.py` writes the list."""

from __future__ import annotations

import inspect
import json
import types
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "docs" / "keras_names.json"
MODULES = (
    "layers losses metrics optimizers optimizers.schedules initializers regularizers constraints activations callbacks "
    "utils models Model random ops"
).split()


def arguments(member: Any) -> list[str] | None:
    """Names of arguments; None where Python does not tell."""
    try:
        found = inspect.signature(member.__init__ if isinstance(member, type) else member).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p.name for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name != "self"]


def names(keras: Any) -> dict[str, dict[str, Any]]:
    """For each module: each public name, with its arguments."""
    result: dict[str, dict[str, Any]] = {}
    for path in MODULES:
        module = keras
        for part in path.split("."):
            module = getattr(module, part)
        public = {
            n: getattr(module, n, None)
            for n in dir(module)
            if not n.startswith("_") and n not in ("legacy", "schedules")
        }
        if path == "Model":  # methods that users call; those of torch.nn.Module are not Keras's
            torch_names = set(dir(__import__("torch").nn.Module))
            public = {n: m for n, m in public.items() if n not in torch_names and callable(m)}
        result[path] = {
            n: arguments(m) for n, m in public.items() if callable(m) and not isinstance(m, types.ModuleType)
        }
    return result


if __name__ == "__main__":
    import os

    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    FILE.write_text(json.dumps(names(keras), indent=0) + "\n", encoding="utf-8")
