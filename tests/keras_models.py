"""Random small models with data, loss, metrics and optimizer, made from either library by the same draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

B, T, F, IDS = 4, 6, 3, 7
EPS = 2.0**-10  # Keras adds a float32 epsilon to a float64 variance: here that is the same number
Made = Callable[[Any, np.random.Generator, Any], Any]  # (library, draws, symbol) -> symbol


def pick(rng: np.random.Generator, *values: Any) -> Any:
    return values[rng.integers(len(values))]


def units(rng: np.random.Generator) -> int:
    return int(rng.integers(2, 5))


def weight_options(k: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Regularizers and constraints, now and then."""
    options: dict[str, Any] = {}
    if rng.random() < 0.3:
        options["kernel_regularizer"] = pick(
            rng,
            "l2",
            k.regularizers.L1(0.02),
            k.regularizers.L1L2(0.01, 0.03),
            k.regularizers.OrthogonalRegularizer(),
        )
    if rng.random() < 0.2:
        options["kernel_constraint"] = pick(
            rng,
            k.constraints.MaxNorm(0.7),
            "unit_norm",
            "non_neg",
            k.constraints.MinMaxNorm(0.3, 0.9, rate=0.5),
        )
    if rng.random() < 0.2:
        options["activity_regularizer"] = pick(rng, "l1", k.regularizers.L2(0.05))
    return options


def activation(rng: np.random.Generator) -> Any:
    return pick(rng, "tanh", "sigmoid", "softplus", "elu", "selu", "gelu", "silu", "softsign", "mish", "hard_sigmoid",
                "exponential", "log_softmax", "softmax", None)  # fmt: skip


def recurrent(k: Any, rng: np.random.Generator, x: Any, **options: Any) -> Any:
    kind = pick(rng, "SimpleRNN", "LSTM", "GRU", "GRU", "LSTM")
    options |= weight_options(k, rng) | {"go_backwards": bool(rng.random() < 0.2)}
    if options["go_backwards"] and options.get("return_sequences"):
        options["go_backwards"] = False  # the mask: a deviation
    options.pop("activity_regularizer", None) if kind == "SimpleRNN" else None  # Keras ignores it
    if kind == "GRU":
        options["reset_after"] = bool(rng.random() < 0.5)
    return getattr(k.layers, kind)(units(rng), activation=pick(rng, "tanh", "softsign"), **options)(x)


def both_ways(k: Any, rng: np.random.Generator, x: Any, **options: Any) -> Any:
    layer = getattr(k.layers, pick(rng, "SimpleRNN", "LSTM", "GRU"))(units(rng), **options)
    return k.layers.Bidirectional(layer, merge_mode=pick(rng, "concat", "sum", "mul", "ave"))(x)


def stacked(k: Any, rng: np.random.Generator, x: Any, **options: Any) -> Any:
    cells = [
        getattr(k.layers, pick(rng, "LSTMCell", "GRUCell", "SimpleRNNCell"))(units(rng)) for _ in range(2)
    ]
    return k.layers.RNN(cells, **options)(x)


def attended(k: Any, rng: np.random.Generator, x: Any) -> Any:
    kind = pick(rng, "Attention", "AdditiveAttention", "MultiHeadAttention")
    if kind == "MultiHeadAttention":
        return k.layers.MultiHeadAttention(2, 4)(x, x)  # 1/√4 is the same in float32
    return getattr(k.layers, kind)(use_scale=bool(rng.random() < 0.5))([x, x])


def merged(k: Any, rng: np.random.Generator, x: Any) -> Any:
    """Two ways of the same width that meet; the layer on both of them is used twice."""
    shared = k.layers.Dense(units(rng), activation="tanh")
    other = k.layers.Dense(x.shape[-1], **weight_options(k, rng))
    kind = pick(rng, "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    return getattr(k.layers, kind)()([shared(x), shared(other(x))])


def encoded(k: Any, rng: np.random.Generator, x: Any, **options: Any) -> Any:
    """The last state of one layer starts the next."""
    kind, n = pick(rng, "LSTM", "GRU"), units(rng)
    _, *states = getattr(k.layers, kind)(n, return_state=True)(x)
    return getattr(k.layers, kind)(n, **options)(x, initial_state=states)


def simple(make: Callable[[Any, np.random.Generator], Any]) -> Made:
    return lambda k, rng, x: make(k.layers, rng)(x)


MASKED: list[Made] = [  # sequences to sequences, masks go through
    lambda k, rng, x: recurrent(k, rng, x, return_sequences=True),
    lambda k, rng, x: both_ways(k, rng, x, return_sequences=True),
    lambda k, rng, x: stacked(k, rng, x, return_sequences=True),
    lambda k, rng, x: k.layers.Dense(units(rng), activation=activation(rng), **weight_options(k, rng))(x),
    simple(lambda layers, rng: layers.TimeDistributed(layers.Dense(units(rng), activation="tanh"))),
    simple(lambda layers, rng: layers.LayerNormalization(epsilon=EPS, center=bool(rng.random() < 0.5))),
    simple(lambda layers, rng: layers.BatchNormalization(momentum=0.75, epsilon=EPS)),
    simple(lambda layers, rng: layers.RMSNormalization(epsilon=EPS)),
    simple(lambda layers, rng: layers.Activation(activation(rng))),
    simple(lambda layers, rng: layers.LeakyReLU(0.2)),
    simple(lambda layers, rng: layers.ELU(0.7)),
    simple(lambda layers, rng: layers.PReLU(shared_axes=[1])),
    simple(lambda layers, rng: layers.ActivityRegularization(0.01, 0.02)),
    simple(lambda layers, rng: layers.UnitNormalization()),
]
MERGING: list[Made] = [merged, attended]
UNMASKED: list[Made] = [
    lambda k, rng, x: encoded(k, rng, x, return_sequences=True),
    simple(
        lambda layers, rng: layers.Conv1D(
            units(rng), 3, padding=pick(rng, "same", "causal"), dilation_rate=int(rng.integers(1, 3))
        )
    ),  # fmt: skip
    simple(lambda layers, rng: layers.AveragePooling1D(2, strides=1, padding="same")),
    simple(lambda layers, rng: layers.MaxPooling1D(2, strides=1, padding="same")),
    simple(lambda layers, rng: layers.GroupNormalization(groups=1, epsilon=EPS)),
    simple(lambda layers, rng: layers.Permute((1, 2))),
    simple(lambda layers, rng: layers.Softmax()),
]
ENDS: list[Made] = [
    lambda k, rng, x: recurrent(k, rng, x),
    lambda k, rng, x: both_ways(k, rng, x),
    lambda k, rng, x: stacked(k, rng, x),
    simple(lambda layers, rng: layers.GlobalAveragePooling1D()),
]
UNMASKED_ENDS: list[Made] = [
    lambda k, rng, x: encoded(k, rng, x),
    simple(lambda layers, rng: layers.GlobalMaxPooling1D()),
    simple(lambda layers, rng: layers.Flatten()),
    lambda k, rng, x: k.layers.RepeatVector(2)(recurrent(k, rng, x))[:, 0],
]
REAL = ["MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh", "MeanAbsolutePercentageError", "CosineSimilarity",
        "Hinge", "SquaredHinge"]  # fmt: skip
METRICS = {
    "real": ["mae", "mse", "RootMeanSquaredError", "CosineSimilarity", "LogCoshError"],
    "binary": ["accuracy", "BinaryCrossentropy", "Precision", "Recall"],  # AUC sums in float32 in Keras
    "onehot": ["accuracy", "CategoricalCrossentropy", "KLDivergence"],
    "labels": ["accuracy", "SparseCategoricalCrossentropy"],
}


class Case:
    """What a seed makes: data here, `model(library)` and `optimizer(library)` from the same draws each time."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng([seed, 1])
        self.source = pick(rng, "ids", "masked ids", "floats", "masked floats")
        self.masked = self.source.startswith("masked")
        self.steps = bool(rng.random() < 0.4)  # one output per step
        self.kind = pick(rng, "real", "real", "binary", "onehot", "labels")
        self.width = 1 if self.kind == "binary" else 3
        lengths = rng.integers(1, T + 1, B)[:, None]
        padding = np.arange(T) >= lengths
        if rng.random() < 0.3:
            padding = padding[:, ::-1]
        if "ids" in self.source:
            self.x: Any = np.where(padding, 0, rng.integers(1, IDS, (B, T)))
        else:
            self.x = np.where(padding[:, :, None], 0.0, rng.standard_normal((B, T, F)))
        rows = (B, T) if self.steps else (B,)
        labels = rng.integers(0, 3, rows)
        self.y: Any = {
            "real": rng.standard_normal((*rows, 3)),
            "binary": rng.integers(0, 2, (*rows, 1)).astype(float),
            "onehot": np.eye(3)[labels],
            "labels": labels,
        }[self.kind]
        self.weights = pick(
            rng, None, rng.uniform(0.2, 2, rows)
        )  # per step where there are steps: Keras takes no others
        self.reduction = pick(
            rng, "sum_over_batch_size", "sum_over_batch_size", "sum", "mean", "mean_with_sample_weight"
        )

    def model(self, k: Any) -> Any:
        rng = np.random.default_rng([self.seed, 2])
        if "ids" in self.source:
            inputs = k.Input((T,), dtype="int32")
            x = k.layers.Embedding(IDS, units(rng), mask_zero=self.masked)(inputs)
        else:
            inputs = k.Input((T, F))
            x = k.layers.Masking()(inputs) if self.masked else inputs
        inner = MASKED + ([] if self.masked else MERGING + UNMASKED)
        for _ in range(int(rng.integers(1, 4))):
            x = inner[rng.integers(len(inner))](k, rng, x)
        if not self.steps:
            ends = ENDS + ([] if self.masked else UNMASKED_ENDS)
            x = ends[rng.integers(len(ends))](k, rng, x)
        last = {"real": None, "binary": "sigmoid"}.get(self.kind, "softmax")
        if self.logits:
            last = None
        model = k.Model(inputs, k.layers.Dense(self.width, activation=last, **weight_options(k, rng))(x))
        counted = {} if self.masked or self.weights is None else {"weighted_metrics": self.metrics(k)}
        model.compile(
            self.optimizer(k), self.loss(k), metrics=[] if self.masked else self.metrics(k), **counted
        )
        return model

    @property
    def logits(self) -> bool:
        return self.kind != "real" and self.seed % 4 == 0

    def metrics(self, k: Any) -> list[Any]:
        names = METRICS[self.kind]
        if self.logits:
            return ["accuracy"]
        return [name if name[0].islower() else getattr(k.metrics, name)(name=name.lower()) for name in names]

    def loss(self, k: Any) -> Any:
        rng = np.random.default_rng([self.seed, 3])
        options: dict[str, Any] = {"reduction": self.reduction}
        if self.kind == "real":
            return getattr(k.losses, pick(rng, *REAL))(**options)
        options["from_logits"] = self.logits
        if self.kind == "labels":
            return k.losses.SparseCategoricalCrossentropy(ignore_class=pick(rng, None, None, 1), **options)
        options["label_smoothing"] = pick(rng, 0.0, 0.2)
        name = {"binary": "Binary", "onehot": "Categorical"}[self.kind]
        focal = "Focal" if rng.random() < 0.3 else ""
        return getattr(k.losses, f"{name}{focal}Crossentropy")(**options)

    def optimizer(self, k: Any) -> Any:
        rng = np.random.default_rng([self.seed, 4])
        optimizers, schedules = k.optimizers, k.optimizers.schedules
        rate = pick(
            rng, 0.05, 0.02, schedules.ExponentialDecay(0.05, 2, 0.7),
            schedules.CosineDecay(0.01, 3, warmup_target=0.1, warmup_steps=2),
            schedules.PiecewiseConstantDecay([1, 3], [0.1, 0.03, 0.01]), schedules.InverseTimeDecay(0.1, 2, 0.5),
            schedules.PolynomialDecay(0.1, 4),
        )  # fmt: skip
        options = pick(
            rng, {}, {}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"clipvalue": 0.1}, {"weight_decay": 0.05},
            {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 2}, {"gradient_accumulation_steps": 2},
        )  # fmt: skip
        name, own = pick(
            rng, ("SGD", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9, "nesterov": True}), ("RMSprop", {}),
            ("RMSprop", {"centered": True, "momentum": 0.5}), ("Adam", {}), ("Adam", {"amsgrad": True}), ("AdamW", {}),
            ("Adamax", {}), ("Nadam", {}), ("Adagrad", {}), ("Adadelta", {}), ("Lion", {}), ("Ftrl", {}),
        )  # fmt: skip
        return getattr(optimizers, name)(rate, **own, **options)
