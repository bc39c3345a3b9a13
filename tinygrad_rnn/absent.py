"""Names of Keras that are left out: asking for one says so, and what takes its place."""

from __future__ import annotations

from typing import Any, NoReturn

_IMAGES = "images are not sequences of steps"
_NO_MIXED = "there is one float type for computations and weights; set_floatx, or dtype='float32' of a layer"
LEFT_OUT = {  # module, or class -> name -> what takes its place
    "tinygrad_rnn": {
        "mixed_precision": _NO_MIXED, "DTypePolicy": _NO_MIXED, "dtype_policies": _NO_MIXED,
        "export": "model.save(path)", "applications": _IMAGES, "distribution": "there is one process",
        "quantizers": "the weights are floats", "Sequence": "utils.PyDataset", "KerasTensor": "tg.Input",
    },
    "tinygrad_rnn.config": {
        "set_dtype_policy": _NO_MIXED, "dtype_policy": _NO_MIXED, "set_image_data_format": _IMAGES,
        "enable_unsafe_deserialization": "a file never holds code",
    },
    "tinygrad_rnn.layers": {
        "InputLayer": "Input(shape), also as the first entry of a Sequential",
        "Wrapper": "a Layer that holds the other one as an attribute",
        "TorchModuleWrapper": "write it as a Layer", "SeparableConv1D": "Conv1D(groups=...) and Conv1D(filters, 1)",
        "DepthwiseConv1D": "Conv1D(groups=features)", "Conv1DTranspose": "UpSampling1D and Conv1D",
        "ConvLSTM1D": "a cell of your own in RNN, or Conv1D in front of LSTM",
        "EinsumDense": "Dense, or ops.einsum in a Layer",
        "GroupedQueryAttention": "MultiHeadAttention", "Hashing": "StringLookup(num_oov_indices=...)",
        "AlphaDropout": "Dropout", "SpectralNormalization": "a constraint",
        "HashedCrossing": "StringLookup of joined texts",
    },
    "tinygrad_rnn.callbacks": {
        "TensorBoard": "History, CSVLogger, GradientNorms and tg.plot_history",
        "RemoteMonitor": "LambdaCallback", "ProgbarLogger": "fit(verbose=1)", "CallbackList": "a list of callbacks",
    },
    "tinygrad_rnn.preprocessing": {
        "text": "layers.TextVectorization", "image": _IMAGES, "image_dataset_from_directory": _IMAGES,
        "text_dataset_from_directory": "read the files, then layers.TextVectorization",
    },
    "Model": {
        "export": "save(path); the derived source of a recurrence, layer.bptt_source(), runs on NumPy alone",
        "quantize": "the weights are floats", "symbolic_call": "call the model on an Input",
        "get_compile_config": "compile_arguments", "compile_from_config": "compile",
    },
}  # fmt: skip


def missing(owner: str, name: str) -> NoReturn:
    """Raise `AttributeError` for a name that a module does not have.

    >>> missing("tinygrad_rnn.preprocessing", "text")
    Traceback (most recent call last):
    ...
    AttributeError: tinygrad_rnn.preprocessing.text is left out; instead: layers.TextVectorization
    """
    instead = LEFT_OUT[owner].get(name)
    if instead is not None:
        raise AttributeError(f"{owner}.{name} is left out; instead: {instead}")
    raise AttributeError(f"module {owner!r} has no attribute {name!r}")


def refuse_mixed(owner: str, dtype: Any) -> None:
    """Raise `ValueError` for a float type that names two of them, or one that is none."""
    if str(dtype).startswith("mixed_") or str(dtype) in ("bfloat16", "int8"):
        raise ValueError(f"{owner}: dtype {dtype!r} is not offered: {_NO_MIXED}")
