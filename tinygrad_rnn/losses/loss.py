"""What all losses share: weights, masks, reduction; and a function as a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..core.tensor import Tensor
from ..ops.creation import convert_to_tensor
from ..ops.elementwise import cast
from ..ops.shape import expand_dims
from ..utils.registry import Registry, Serializable, snake_case
from .declare import declare, options_of
from .values import REDUCTIONS, predictions, reduce_values, same_rank, without_unused


class Loss(Serializable):
    """Base of all losses: `loss(y_true, y_pred, sample_weight=None, mask=None)` gives a Tensor.

    A subclass defines `call(y_true, y_pred)`: one value per row, or per row and step. `reduction`:
    "sum_over_batch_size" or "mean" (`Σ w v / n`: n counts the values that are not masked, not the weights),
    "mean_with_sample_weight" (`Σ w v / Σ w`), "sum", or "none". The average of nothing (an empty batch,
    everything masked) is 0, with gradient 0. Targets under a mask or a weight of 0 may be anything.

    >>> class Last(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return abs(y_true - y_pred)[:, -1]
    >>> Last()([[0.0, 1.0], [0.0, 1.0]], [[0.0, 3.0], [0.0, 1.0]], sample_weight=[0.5, 1.0]).item()
    0.5
    """

    pointwise: ClassVar[bool] = False  # the last axis holds numbers, not the parts of one thing

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction: expected one of {REDUCTIONS}, received {reduction!r}")
        self.name = name or snake_case(type(self).__name__)
        self.reduction = reduction
        self.dtype = dtype

    def call(self, y_true: Tensor, y_pred: Tensor) -> Any:
        """The values before weighting and reduction."""
        raise NotImplementedError(f"{type(self).__name__} must define call(self, y_true, y_pred)")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> Tensor:
        """The weighted, masked and reduced loss.

        Raises `ValueError` for shapes and targets that do not fit, and `TypeError` if `call` gives no Tensor.
        """
        y_true, y_pred = convert_to_tensor(y_true), predictions(y_pred, self.dtype)
        if y_true.dtype.kind in "bu" or y_true.dtype.itemsize < 4:  # they have no room for -y or 100 * y
            y_true = cast(y_true, y_pred.dtype)
        mask = self._valid(y_true, mask)
        if y_pred.ndim == 1 and self.pointwise and not (mask is None and sample_weight is None):
            y_pred = expand_dims(y_pred, -1)  # a weight per row needs a value per row
        self._check(y_pred, mask)
        values = self.call(without_unused(y_true, sample_weight, mask), y_pred)
        if not isinstance(values, Tensor):
            raise TypeError(
                f"{self.name}: a loss returns a Tensor, received {type(values).__name__}; compute it from y_pred with "
                "operators and functions of tg.ops, as NumPy's numbers and arrays have no gradient"
            )
        result: Tensor = reduce_values(values, sample_weight, mask, self.reduction)
        return result

    def _valid(self, y_true: Tensor, mask: Any) -> Any:
        """The mask, narrowed by what the loss ignores."""
        return mask

    def _check(self, y_pred: Tensor, mask: Any) -> None:
        """Look at the predictions of the first batch."""


REGISTRY = Registry("loss", base=Loss)  # every FormulaLoss enters itself, the rest is in __init__.py
CLASSES: dict[Callable[..., Any], type[FormulaLoss]] = {}  # formula -> class


class LossFunctionWrapper(Loss):
    """A function `fn(y_true, y_pred, **kwargs) -> values` as a loss.

    >>> LossFunctionWrapper(lambda y, p: abs(y - p))([1.0, 2.0], [1.0, 4.0]).item()
    1.0
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn = REGISTRY.get(fn)
        self.kwargs = kwargs

    def call(self, y_true: Tensor, y_pred: Tensor) -> Any:
        """The values of `fn`, for ranks that differ by a last axis of 1 made equal: `y - p` would be N × N."""
        return self.fn(*same_rank(y_true, y_pred), **self.kwargs)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object."""
        config = {"fn": REGISTRY.serialize(self.fn), "reduction": self.reduction, "name": self.name}
        return {**config, "dtype": self.dtype, **self.kwargs}


class FormulaLoss(Loss):
    """A loss made of a formula: `class Huber(FormulaLoss, of=huber)`.

    The options of the formula are arguments of the class, and attributes. Class and formula are entered in
    the registry. `order` lists the arguments where Keras has another order than options, reduction, name
    and dtype; `name` is the default name where it is not that of the class.
    """

    pointwise = True
    fn: ClassVar[Callable[..., Tensor]]
    _options: ClassVar[tuple[str, ...]]

    def __init__(self, *args: Any, **options: Any) -> None:  # each class has its own, see `declare`
        super().__init__(*args, **options)

    def __init_subclass__(
        cls, of: Callable[..., Tensor] | None = None, order: str = "", name: str | None = None
    ) -> None:
        super().__init_subclass__()
        if of is None:
            return
        cls.fn = staticmethod(of)
        cls._options = tuple(options_of(of))
        name = name or snake_case(cls.__name__)
        common = {"reduction": "sum_over_batch_size", "name": name, "dtype": None}
        declare(cls, of, common, order or " ".join((*cls._options, *common)))
        CLASSES[of] = cls
        REGISTRY.add(cls)
        REGISTRY.add(of)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The values of the formula."""
        return type(self).fn(y_true, y_pred, **{name: getattr(self, name) for name in self._options})
