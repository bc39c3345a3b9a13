"""Writes the comparison with Keras, docs/keras.md, from the package and a list: `python docs/make_keras.py`."""

# ruff: noqa: E501
from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path
from typing import Any

import tinygrad_rnn

PAGE = Path(__file__).parent / "keras.md"
NAMES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "keras_names.json").read_text(encoding="utf-8")
)  # module -> public name of Keras 3.15.1 -> its arguments, or null for what takes none
HEAD = """# What Keras has, what is here, and how they differ

Written by `docs/make_keras.py` from the package itself and `docs/keras_names.json`, the public names and arguments of
Keras 3.15.1. Everything that is here has Keras's name, arguments, defaults, weights and numbers, unless this page says
otherwise; `tests/keras_examples` are programs that run under both import lines, and `tests/test_against_keras.py` trains
random models in both.

```python
import numpy as np
import tinygrad_rnn as keras

model = keras.Sequential([keras.Input((None, 4)), keras.layers.LSTM(3), keras.layers.Dense(1)])
model.compile("adam", "mse", metrics=["mae"])
history = model.fit(np.zeros((8, 5, 4), "float32"), np.ones((8, 1), "float32"), epochs=2, verbose=0)
assert sorted(history.history) == ["loss", "mae"]
```

## Deliberate differences

| Keras | here | because |
|---|---|---|
| `initial_state` drops the automatic mask | the mask of the sequences is used, always | every masked decoder is silently unmasked |
| 3.16 ends the mask at recurrent layers | it is handed on, as up to 3.15 | stacked masked layers are the point of masking |
| `go_backwards` leaves the mask in the old order | it is reversed with the sequence | the output is reversed |
| `zero_output_for_mask` acts on the last output, too | only with `return_sequences` | that is what its documentation says |
| losses broadcast shapes that do not fit | `ValueError` with both shapes | N × N errors train nothing |
| logits as probabilities are divided by their sum | the same number, and a warning that names `from_logits` | a forgotten argument |
| `set_floatx("float64")` leaves float32 in many ops | float64 stays float64 | gradients are checked to 1e-9 |
| a negative id reads the last row of an `Embedding` | `ValueError` with the id and its position | it hides errors in data |
| a NaN gradient spoils all weights | the step raises, no weight is changed | see `training.md` |
| no `model.reset_state()` | `reset_state`, `get_states`, `set_states` at any depth | stateful models |
| `SimpleRNN`, and the layer in `TimeDistributed`, ignore `activity_regularizer` | it is honoured | an error there |
| a masked loss scales `sample_weight` in place before `weighted_metrics` see it | they see what was given | an error there |
| `compile` without metrics keeps the earlier ones | there are none | |
| with `weighted_metrics`, `evaluate` lists a metric twice | once | an error there |
| a query of `MultiHeadAttention` that may look at nothing gets the mean of all values | weights 0 | padding has no say |
| masks that `Concatenate` joins count as layers: masked branches may come first in `get_weights()`, and a nested model's mask is lost there | the order of layers does not depend on masks, and the mask is joined | |
| `learning_rate=1` raises | a whole number is a rate | |
| `optimizer.learning_rate` is a variable with `.assign()`, `.numpy()` | a float: `float(optimizer.learning_rate)`, `optimizer.learning_rate = 0.01` | |
| `overwrite=False` asks on the terminal | `FileExistsError` | |
| a weight is a `Variable` without gradient | a `Tensor` with `.grad`, `.numpy()`, `.path`, `.assign()` | the reason for this package |
| `.keras` files, HDF5 weights | one archive of JSON and `.npy` members, with checksums | readable by NumPy alone; move weights with `get_weights` and `set_weights` |
| random bits of the backend | NumPy's generators: same distributions, other bits | one explicit stream |
| `model.layers` begins with `InputLayer` | inputs are no layers | `get_layer(index=...)` counts without them |
| a second unnamed `Precision()` is `precision_1` in the logs | `precision`, always | names do not depend on what ran before |
| the keys of logs are sorted | the loss comes first | |
| `get_config()` of a functional model is JSON, and `model_from_json` reads it | it holds the symbols, for `from_config`; `to_json()` is the text, which `model_from_json` reads. Layers and `Sequential` are JSON in Keras's form | a model's text is that of its file |
| classes in a configuration are imported by their module | they are found if they are this package's, registered, or in `custom_objects` | a file never runs code |
| `optimizer.variables` are iterations, rate and slots | the weights that the optimizer has met; `state()` has the rest by name | |
| mixed precision, sparse and ragged inputs, `export` | refused by name, with what takes their place | |
| a mean over a fully masked row is NaN | 0, and so is its gradient | one empty row would spoil the batch |
| `summary`, `plot_model` need pydot | they do not | |
| lookups, text and windows need TensorFlow | NumPy alone | |

Accepted without effect: `use_cudnn`, `unroll`, `steps_per_execution`, `workers`. `implementation` chooses the dropout masks.
Keras on torch has a trap that these tests met: a stateful LSTM or GRU trains only with `use_cudnn=False`.

## Masks

"""
MASKS = {  # what happens to the mask, and layers of which it is true
    "is made": "Embedding(mask_zero=True) Masking",
    "holds the state, goes on with `return_sequences`": "SimpleRNN LSTM GRU RNN Bidirectional",
    "is used and ends": "GlobalAveragePooling1D",
    "goes on with query": "Attention AdditiveAttention MultiHeadAttention",
    "goes on": "Dense Activation Dropout SpatialDropout1D LayerNormalization BatchNormalization TimeDistributed "
    "LeakyReLU ELU PReLU ReLU GaussianNoise GaussianDropout Identity ActivityRegularization UnitNormalization "
    "GroupNormalization Rescaling Normalization",
    "goes on if all inputs have one: steps that count in any": "Add Multiply Average Maximum Minimum Subtract",
    "steps that count in any; no mask counts as all": "Concatenate",
    "ends, with a warning": "Conv1D MaxPooling1D AveragePooling1D GlobalMaxPooling1D Flatten Reshape Permute Cropping1D "
    "ZeroPadding1D UpSampling1D RMSNormalization Lambda",
}
REASONS = {  # a part of the names left out -> why; the first that fits
    "2D 3D Conv Pool Image Random Mix Flip Crop Hue Equalization Solar Augment Resizing Zoom Contrast Bright Blur Auto Aug Box "
    "image img": "images are not sequences of steps",
    "Jax Flax Torch TFSM Pipeline Feature Hash STFT Mel stft audio dataset_from_directory": "another backend, or its data",
    "quant lora dtype jit": "no mixed precision or quantization",
    "logging Progbar source": "of the terminal",
}


def arguments(member: Any) -> list[str]:
    """The argument names of a class or function, without `self` and `**options`."""
    try:
        found = inspect.signature(member).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name != "self"]


def differences(member: Any, theirs: list[str] | None) -> str:
    """Arguments that are missing here, and those that are more."""
    if theirs is None:
        return ""
    takes_more = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(member).parameters.values())
    mine = arguments(member)
    missing = [] if takes_more else [a for a in theirs if a not in mine]
    of_all = arguments(tinygrad_rnn.Layer) if inspect.isclass(member) else []  # every layer takes them
    more = [a for a in mine if a not in theirs and a not in of_all]
    return "; ".join(
        [*(["without " + ", ".join(f"`{a}`" for a in missing)] if missing else []),
         *(["also " + ", ".join(f"`{a}`" for a in more)] if more else [])]
    )  # fmt: skip


def reason(module: str, name: str) -> str:
    """Why a name of a module is left out."""
    if module == "ops":
        return (
            "under `tg.activations`"
            if hasattr(tinygrad_rnn.activations, name)
            else "nothing here needs it yet"
        )
    for parts, why in REASONS.items():
        if any(part in name for part in parts.split()):
            return why
    return "sequence models hardly use it"


def section(module: str) -> str:
    """The table of one module: what is here, and below it what is left out."""
    ours = functools.reduce(getattr, module.split("."), tinygrad_rnn)
    theirs = NAMES[module]
    rows: list[str] = []
    same: list[str] = []
    left: dict[str, list[str]] = {}
    for member, args in theirs.items():
        own = getattr(ours, member, None)
        if own is None:
            left.setdefault(reason(module, member), []).append(f"`{member}`")
        elif differs := differences(own, args):
            rows.append(f"| `{member}` | {differs} |")
        else:
            same.append(f"`{member}`")
    extra = [
        n for n in getattr(ours, "__all__", []) if n not in theirs and n[0].isupper() and n != "REGISTRY"
    ]
    parts = [
        f"## {module}",
        f"{len(rows) + len(same)} of Keras's {len(theirs)} names. With the same arguments: {', '.join(same)}.",
    ]
    if rows:
        parts.append("\n".join(["| here | arguments |", "|---|---|", *rows]))
    if left:
        parts.append(
            "Left out: " + "; ".join(f"{', '.join(names)} ({why})" for why, names in left.items()) + "."
        )
    if extra:
        parts.append("Only here: " + ", ".join(f"`{n}`" for n in extra) + ".")
    return "\n\n".join(parts)


def page() -> str:
    """The text of the page."""
    masks = ["| the mask | layers |", "|---|---|"]
    masks += [f"| {what} | {', '.join(f'`{n}`' for n in names.split())} |" for what, names in MASKS.items()]
    return HEAD + "\n".join(masks) + "\n\n" + "\n\n".join(section(m) for m in NAMES) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
