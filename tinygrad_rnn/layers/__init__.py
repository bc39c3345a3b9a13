"""Layers, with Keras's names, arguments and defaults."""

from __future__ import annotations

from functools import partial

from ..absent import missing
from ..utils.registry import claim
from .advanced_activations import ELU, LeakyReLU, PReLU, ReLU, Softmax
from .attention import AdditiveAttention, Attention
from .bidirectional import Bidirectional
from .configuration import deserialize, serialize
from .convolution import Conv1D, Convolution1D
from .core import Activation, Dense, Identity, Lambda, Masking, TimeDistributed
from .embedding import Embedding
from .gru import GRU, GRUCell
from .layer import Layer
from .lstm import LSTM, LSTMCell
from .merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)  # fmt: skip
from .multi_head_attention import MultiHeadAttention
from .noise import ActivityRegularization, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D
from .normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from .operation import Operation
from .pooling import (
    AveragePooling1D,
    AvgPool1D,
    GlobalAveragePooling1D,
    GlobalAvgPool1D,
    GlobalMaxPool1D,
    GlobalMaxPooling1D,
    MaxPool1D,
    MaxPooling1D,
)
from .preprocessing import (
    CategoryEncoding,
    Discretization,
    IntegerLookup,
    Normalization,
    Rescaling,
    StringLookup,
    TextVectorization,
)
from .reshaping import Cropping1D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D
from .rnn import RNN
from .simple_rnn import SimpleRNN, SimpleRNNCell
from .stacked import StackedRNNCells
from .symbolic import Input

__all__ = [
    "Activation", "ActivityRegularization", "Add", "add", "AdditiveAttention", "Attention", "Average",
    "average", "AveragePooling1D", "AvgPool1D", "BatchNormalization", "Bidirectional", "CategoryEncoding",
    "Concatenate", "concatenate", "Conv1D", "Convolution1D", "Cropping1D", "Dense", "deserialize", "Discretization",
    "dot", "Dot", "Dropout", "ELU", "Embedding", "Flatten", "GaussianDropout", "GaussianNoise",
    "GlobalAveragePooling1D", "GlobalAvgPool1D", "GlobalMaxPool1D", "GlobalMaxPooling1D",
    "GroupNormalization", "GRU", "GRUCell", "Identity", "Input", "IntegerLookup", "Lambda", "Layer",
    "LayerNormalization", "LeakyReLU", "LSTM", "LSTMCell", "Masking", "Maximum", "maximum", "MaxPool1D",
    "MaxPooling1D", "Minimum", "minimum", "MultiHeadAttention", "Multiply", "multiply", "Normalization",
    "Permute", "PReLU", "ReLU", "RepeatVector", "Rescaling", "Reshape", "RMSNormalization", "RNN", "serialize",
    "SimpleRNN", "SimpleRNNCell", "Softmax", "SpatialDropout1D", "StackedRNNCells", "StringLookup",
    "Subtract", "subtract", "TextVectorization", "TimeDistributed", "UnitNormalization", "UpSampling1D",
    "ZeroPadding1D",
]  # fmt: skip

# The closed list of classes that a saved model may name.
LAYERS: dict[str, type[Layer]] = {
    name: value for name in __all__ if isinstance(value := globals()[name], type) and issubclass(value, Layer)
} | {"Operation": Operation}  # made by operators, not by hand
for _name, _class in LAYERS.items():
    claim(_name, _class)

__getattr__ = partial(missing, __name__)  # only for what is missing
