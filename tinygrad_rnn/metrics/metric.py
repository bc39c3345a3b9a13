"""What metrics share: weighted sums over batches in plain floats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from .. import initializers, losses
from ..core.op import Array
from ..core.tensor import Variable
from ..losses.declare import declare, options_of
from ..losses.values import align, per_value, predictions, without_unused
from ..utils.registry import Registry, Serializable, snake_case


class Metric(Serializable):
    """Base: `metric(...)` adds a batch and returns the result so far.

    A subclass defines `update_state` and `result`, and `reset_state` unless all that it keeps is in variables
    made with `add_variable`, which are set to 0. `_direction` is "up" or "down" where larger
    or smaller is better: callbacks that monitor it with mode "auto" look there.

    >>> class Largest(Metric):
    ...     top = 0.0
    ...     def update_state(self, values, sample_weight=None): self.top = max(self.top, max(values))
    ...     def result(self): return self.top
    >>> m = Largest()
    >>> m([1.0, 3.0]), m([2.0])
    (3.0, 3.0)
    """

    _direction: ClassVar[str | None] = None

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.dtype = dtype
        self.variables: list[Variable] = []

    def add_variable(
        self,
        shape: Any = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: Any = "sum",
        name: str | None = None,
    ) -> Variable:
        """A number or array that is kept between batches; `aggregation` has no effect."""
        first = initializers.get(initializer or "zeros")(shape, dtype or self.dtype or "float32")
        made = Variable(first, name=name or "variable")
        self.variables.append(made)
        return made

    add_weight = add_variable

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Add a batch."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state")

    def result(self) -> float:
        """The number so far."""
        raise NotImplementedError(f"{type(self).__name__} must define result")

    def reset_state(self) -> None:
        """Forget all batches."""
        if not self.variables:
            raise NotImplementedError(f"{type(self).__name__} must define reset_state")
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))

    def state(self) -> dict[str, Array]:
        """The numbers and arrays among the attributes, which hold the batches so far; `load_state` takes them."""
        found = {
            key: value for key, value in vars(self).items() if isinstance(value, (int, float, np.ndarray))
        }
        return {key: np.array(value) for key, value in found.items()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state()` of an equal metric gave."""
        vars(self).update({key: value if value.ndim else value.item() for key, value in state.items()})

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        """Add a batch and return the result so far."""
        self.update_state(*args, **kwargs)
        return self.result()


REGISTRY = Registry("metric", base=Metric)  # every FormulaMetric enters itself, the rest is in __init__.py


class Mean(Metric):
    """Weighted mean of values, `Σ w v / Σ w`; several values of a row are averaged first. 0 of nothing.

    >>> m = Mean()
    >>> m.update_state([1.0, 3.0]); m([5.0], sample_weight=[0.0])
    2.0
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.count = 0.0

    def reset_state(self) -> None:
        """Forget all batches."""
        self.total = self.count = 0.0

    def result(self) -> float:
        """The mean so far."""
        return self.total / self.count if self.count else 0.0

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add values `(batch, …)`; weights are per row, or per row and step."""
        values, weights = _weighted(values, sample_weight)
        rows = max(values.shape[0], 1) if values.ndim else 1
        per_row = values.size / rows if values.size else 1.0
        self.total += float(values.sum(dtype=np.float64)) / per_row
        self.count += weights / per_row


class Sum(Metric):
    """Weighted sum of values, `Σ w v`.

    >>> Sum()([1.0, 3.0], sample_weight=[1.0, 0.5])
    2.5
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = 0.0

    def reset_state(self) -> None:
        """Forget all batches."""
        self.total = 0.0

    def result(self) -> float:
        """The sum so far."""
        return self.total

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add values `(batch, …)`; weights are per row, or per row and step."""
        self.total += float(_weighted(values, sample_weight)[0].sum(dtype=np.float64))


def _weighted(values: Any, sample_weight: Any) -> tuple[Array, float]:
    """`w v`, 0 where w is 0, even for NaN, and `Σ w`."""
    values = np.asarray(values)
    if sample_weight is None:
        return values, float(values.size)
    weight = np.broadcast_to(per_value("sample_weight", sample_weight, values.shape), values.shape)
    used = np.where(weight != 0, values, 0.0)
    return np.multiply(used, weight, dtype=np.float64), float(weight.sum(dtype=np.float64))


class MeanMetricWrapper(Mean):
    """Mean of a function `fn(y_true, y_pred, **kwargs)` of targets and predictions.

    >>> MeanMetricWrapper(lambda y, p: abs(y - p), name="distance")(np.array([1.0]), np.array([3.0]))
    2.0
    """

    pointwise: ClassVar[bool] = False  # the last axis holds numbers, not the parts of one thing

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        self.fn = losses.get(fn)
        super().__init__(name or getattr(self.fn, "__name__", None), dtype)
        self.kwargs = kwargs

    def values(self, y_true: Array, y_pred: Array) -> Any:
        """The values to be averaged."""
        return self.fn(y_true, y_pred, **self.kwargs)

    def update_state(  # type: ignore[override]  # as in Keras
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Add a batch of targets and predictions; a mask counts as weights of 0 and 1."""
        y_true = np.asarray(y_true)
        if not isinstance(y_pred, np.ndarray) or y_pred.dtype.kind != "f" or self.dtype is not None:
            y_pred = predictions(y_pred, self.dtype).numpy()  # an array of floats needs no copy
        if self.pointwise and y_pred.ndim == 1:
            y_pred = y_pred[:, None]
        super().update_state(
            self.values(without_unused(y_true, sample_weight), y_pred), sample_weight=sample_weight
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object."""
        return {"fn": losses.serialize(self.fn), "name": self.name, "dtype": self.dtype, **self.kwargs}


class FormulaMetric(MeanMetricWrapper):
    """The mean of a formula: `class BinaryAccuracy(FormulaMetric, of=binary_accuracy)`.

    The options of the formula are arguments of the class, and attributes. The class is entered in the
    registry. `order` lists the arguments where they are not name, dtype and all options; `name` is the
    default name where it is not the one of the class.
    """

    formula: ClassVar[Callable[..., Any]]
    _options: ClassVar[tuple[str, ...]] = ()
    _direction = "down"
    pointwise = True

    def __init__(self, *args: Any, **options: Any) -> None:  # each class has its own, see `declare`
        Mean.__init__(self, *args, **options)

    def __init_subclass__(
        cls, of: Callable[..., Any] | None = None, order: str = "", name: str | None = None
    ) -> None:
        super().__init_subclass__()
        if of is None:
            return
        common = {"name": name or snake_case(cls.__name__), "dtype": None}
        order = order or " ".join((*common, *options_of(of)))
        cls.formula = staticmethod(of)
        cls._options = tuple(option for option in order.split() if option not in common)
        declare(cls, of, common, order)
        REGISTRY.add(cls)

    def values(self, y_true: Array, y_pred: Array) -> Any:
        """The values of the formula."""
        return type(self).formula(y_true, y_pred, **{name: getattr(self, name) for name in self._options})

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object."""
        return Serializable.get_config(self)


class CountingMetric(Metric):
    """Base of metrics that add up an array per batch, `counts`: None before the first.

    A subclass defines `batch_counts(y_true, y_pred, sample_weight)`, where a weight of 0 takes part in
    nothing, and `rate(*counts)`, the result. Of nothing it is 0.
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.counts: Array | None = None

    def batch_counts(self, y_true: Array, y_pred: Array, sample_weight: Any) -> Array:
        """The counts of one batch."""
        raise NotImplementedError(f"{type(self).__name__} must define batch_counts")

    def rate(self, *counts: Array) -> Any:
        """The result of the counts so far."""
        raise NotImplementedError(f"{type(self).__name__} must define rate")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch of targets and predictions; a mask counts as weights of 0 and 1."""
        counts = self.batch_counts(np.asarray(y_true), np.asarray(y_pred), sample_weight)
        if self.counts is not None and self.counts.shape != counts.shape:
            raise ValueError(
                f"{self.name}: the batches so far had another number of classes or outputs than this one "
                f"with y_pred of shape {np.shape(y_pred)}; call reset_state() in between"
            )
        self.counts = counts if self.counts is None else self.counts + counts

    def reset_state(self) -> None:
        """Forget all batches."""
        self.counts = None

    def result(self) -> Any:
        """The number so far, or an array of one per threshold, class or output."""
        if self.counts is None:
            return 0.0
        rate = np.asarray(self.rate(*self.counts))
        return float(rate) if rate.ndim == 0 else rate


def aligned(
    name: str, y_true: Array, y_pred: Array, sample_weight: Any, rows: bool = False
) -> tuple[Array, Array, Array]:
    """Targets, predictions and weights of one shape, in floats; `rows`: one weight per row, axes `(rows, last)`.

    Raises `ValueError` for shapes that do not fit and for NaN in targets that count.

    >>> y, p, w = aligned("auc", np.array([1, 0]), np.array([[0.5], [0.7]]), None)
    >>> y.shape, p.shape, w.shape
    ((2, 1), (2, 1), (2, 1))
    """
    p = y_pred if y_pred.dtype.kind == "f" else predictions(y_pred).numpy()
    y, p = align(name, np.asarray(without_unused(y_true, sample_weight), float), p)
    if np.isnan(y).any():
        raise ValueError(f"{name}: y_true is NaN at position {tuple(map(int, np.argwhere(np.isnan(y))[0]))}")
    shape = p.shape[:-1] if rows else p.shape
    weight = np.ones(shape)
    if sample_weight is not None:
        weight = weight * per_value("sample_weight", sample_weight, shape)
    if rows:
        return y.reshape(-1, p.shape[-1]), p.reshape(-1, p.shape[-1]), weight.reshape(-1)
    return y, p, weight


def ratio(part: Any, whole: Any) -> Array:
    """`part / whole`, 0 where the whole is 0.

    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    quotient: Array = np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)
    return quotient
