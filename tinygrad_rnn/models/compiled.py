"""What `compile` makes: a loss and metrics for every output, matched by name or by position."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import losses as losses_module
from .. import metrics as metrics_module
from ..layers.symbolic import flatten
from ..metrics import Mean, MeanMetricWrapper, Metric

_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")  # names whose meaning depends on the shapes


class Outputs:
    """The outputs of one batch in a row, with their names, and what belongs to each of them.

    A dict gives the names; others are `names` (those of a functional model), or `output_1`, `output_2` ...
    """

    def __init__(self, y_pred: Any, names: list[str]) -> None:
        self.values = list(flatten(y_pred))
        n = len(self.values)
        self.keyed = isinstance(y_pred, Mapping) and len(y_pred) == n
        if self.keyed:
            names = [str(key) for key in y_pred]
        self.names = names if len(names) == n else [f"output_{i + 1}" for i in range(n)]

    def split(self, value: Any, what: str, leaf: tuple[type, ...] = ()) -> list[Any]:
        """`value` as a list with one entry per output: from a dict by name, from a list by position.

        Entries of the types `leaf` are not looked into. Raises `ValueError` for unknown names, or another
        number of entries than outputs.
        """
        n = len(self.values)
        if value is None:
            return [None] * n
        if isinstance(value, Mapping):
            for name in value:
                if name not in self.names:
                    near = difflib.get_close_matches(str(name), self.names, n=1, cutoff=0.0)
                    raise ValueError(
                        f"{what}: there is no output {name!r}; did you mean {near[0]!r}? "
                        f"The outputs are {', '.join(self.names)}"
                    )
            return [value.get(name) for name in self.names]
        entries = list(value if leaf else flatten(value)) if isinstance(value, (list, tuple)) else [value]
        if self.keyed and n > 1 and len(entries) > 1:
            raise ValueError(
                f"{what}: the outputs are a dict ({', '.join(self.names)}); give a dict with these names"
            )
        if len(entries) != n:
            raise ValueError(
                f"{n} outputs, {len(entries)} {what}; expected as many of each, in a list or a dict by the "
                f"names {', '.join(self.names)}"
            )
        return entries


class RunningMean(Mean):
    """The mean of plain numbers, weighted by batch sizes; NaN before the first one, 0 of empty batches alone.

    >>> loss = RunningMean("loss"); loss.update_state(2.0, 3); loss.update_state(6.0, 1); loss.result()
    3.0
    """

    seen = False  # whether there was a number

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add a number that is the mean over `sample_weight` examples."""
        weight = 1 if sample_weight is None else sample_weight
        self.total += float(values) * weight
        self.count += weight
        self.seen = True

    def result(self) -> float:
        """The mean so far."""
        return self.total / self.count if self.count else 0.0 if self.seen else float("nan")

    def reset_state(self) -> None:
        """Forget all numbers."""
        super().reset_state()
        self.seen = False


class CompileLoss:
    """The losses of all outputs, weighted and added up.

    `loss`: a name, object or function for all outputs, or a list or dict with one per output; None leaves an
    output out. Raises `ValueError` for an unknown name, and for weights that do not fit.
    """

    def __init__(self, loss: Any, weights: Any, names: list[str]) -> None:
        self.names, self.weights = names, weights
        if isinstance(loss, Mapping):
            self.given: Any = {str(name): _as_loss(one) for name, one in loss.items()}
        elif isinstance(loss, (list, tuple)):
            self.given = [_as_loss(one) for one in loss]
        else:
            self.given = _as_loss(loss)
        for weight in flatten(weights):
            if weight is not None and not isinstance(weight, (int, float, np.number)):
                raise ValueError(f"compile: loss_weights are numbers, received {weight!r}")
        if names and len(names) > 1:  # a functional model: what does not fit is found now
            self._per_output(Outputs(names, names))
        self.parts: list[RunningMean] = []  # the means of the outputs' losses, if there are several
        self.values: list[Any] = []  # the losses of the last batch's outputs, if there are several
        self._keyed = False  # losses and outputs are dicts
        self._losses: list[Any] | None = None
        self._weights: list[Any] = []

    @property
    def shown(self) -> list[RunningMean]:
        """The means per output in Keras's order: that of the outputs, but of the dict of losses if they are a dict."""
        if not self._keyed:
            return self.parts
        order = [f"{name}_loss" for name in self.given]
        return sorted(self.parts, key=lambda part: order.index(part.name))

    @property
    def one_hot(self) -> bool | None:
        """Whether targets are one number per class, and not the number of a class; None if the loss does not say."""
        if isinstance(self.given, losses_module.SparseCategoricalCrossentropy):
            return False
        of_classes = losses_module.CategoricalCrossentropy, losses_module.CategoricalFocalCrossentropy
        return True if isinstance(self.given, of_classes) else None

    def _per_output(self, outputs: Outputs) -> tuple[list[Any], list[Any]]:
        several = isinstance(self.given, (list, dict))
        losses = outputs.split(self.given, "losses") if several else [self.given] * len(outputs.values)
        return losses, outputs.split(self.weights, "loss_weights")

    def __call__(self, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The weighted sum of all losses; `ValueError` for targets that do not fit the outputs."""
        outputs = Outputs(y_pred, self.names)
        losses, weights = (self._losses, self._weights) if self._losses else self._per_output(outputs)
        targets = self._targets(outputs, y, losses)
        if self._losses is None:
            losses = [
                _crossentropy(loss, t, p) for loss, t, p in zip(losses, targets, outputs.values, strict=True)
            ]
        total, values = None, []
        rows = zip(
            outputs.names, losses, weights, targets, outputs.values, _sample_weights(outputs, sample_weight),
            strict=True,
        )  # fmt: skip
        for name, loss, weight, target, p, w in rows:
            if loss is None:
                continue
            if target is None:
                raise ValueError(_no_target(f"the output {name!r}"))
            value = loss(target, p, sample_weight=w, mask=getattr(p, "_mask", None))
            values.append(value)
            value = value if weight is None else value * float(weight)
            total = value if total is None else total + value
        if self._losses is None:  # a batch that they fit
            self._losses, self._weights = losses, weights
            self._keyed = outputs.keyed and isinstance(self.given, Mapping)
            used = [n for n, loss in zip(outputs.names, losses, strict=True) if loss is not None]
            self.parts = [RunningMean(f"{name}_loss") for name in used] if len(used) > 1 else []
        self.took(values)
        return total

    def took(self, values: list[Any]) -> None:
        """Remember the losses of a batch's outputs."""
        self.values = values if self.parts else []

    @staticmethod
    def _targets(outputs: Outputs, y: Any, losses: list[Any]) -> list[Any]:
        """One target per output; those without a loss may be left out, unless they are in a dict."""
        used = sum(loss is not None for loss in losses)
        entries = y if isinstance(y, (list, tuple)) else [y]
        if not (y is None or isinstance(y, Mapping)) and used < len(losses) and len(entries) == used:
            left = iter(entries)
            return [None if loss is None else next(left) for loss in losses]
        return outputs.split(y, "targets")

    def record(self, size: int) -> None:
        """Add the losses of the last batch, of `size` examples, to the means per output."""
        for part, value in zip(self.parts, self.values, strict=True):
            part.update_state(value, size)


class CompileMetrics(Metric):
    """The metrics of all outputs: made for the shapes of the first batch, and named as Keras names them.

    With several outputs the name of the output stands before: `dense_accuracy`. Masks of the predictions
    count as weights; `sample_weight` only in `weighted_metrics`.
    """

    def __init__(self, metrics: Any, weighted_metrics: Any, names: list[str]) -> None:
        super().__init__("compile_metrics")
        self.given = [("metrics", metrics, False), ("weighted_metrics", weighted_metrics, True)]
        self.names = names
        for what, given, _ in self.given:
            for metric in flatten(given):
                if metric is not None and not (isinstance(metric, str) and metric in _BY_SHAPE):
                    metrics_module.get(metric)
            if names and len(names) > 1 and given:
                Outputs(names, names).split(given, what, (list,))
        self.made: dict[str, tuple[int, Any, bool]] | None = None

    def _build(self, y: list[Any], outputs: Outputs) -> dict[str, tuple[int, Any, bool]]:
        made: dict[str, tuple[int, Any, bool]] = {}
        counts: Counter[str] = Counter()
        several = len(outputs.values) > 1
        for what, given, weighted in self.given:
            if given is None or (isinstance(given, (list, tuple, dict)) and not given):
                continue
            if several or isinstance(given, Mapping):
                entries = outputs.split(given, what, (list,))
            else:
                entries = [given]
            for index, entry in enumerate(entries):
                for metric in flatten(entry):
                    if metric is None:
                        continue
                    if y[index] is None:
                        raise ValueError(
                            f"{what}: there is no target for the output {outputs.names[index]!r}"
                        )
                    one = _metric(metric, np.shape(y[index]), outputs.values[index].shape)
                    prefix = f"{outputs.names[index]}_" if several else ""
                    name = f"{prefix}{one.name}"
                    if weighted and counts[name]:
                        name = f"{prefix}weighted_{one.name}"
                    counts[name] += 1
                    unique = name if counts[name] == 1 else f"{name}_{counts[name] - 1}"
                    made[unique] = (index, one, weighted)
        return made

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        outputs = Outputs(y_pred, self.names)
        targets = self._targets(outputs, y_true)
        if self.made is None:
            self.made = self._build(targets, outputs)
        weights = _sample_weights(outputs, sample_weight)
        arrays = [np.asarray(p) for p in outputs.values]
        for index, metric, weighted in self.made.values():
            mask = getattr(outputs.values[index], "_mask", None)
            weight = _masked(weights[index], mask) if weighted else None if mask is None else np.asarray(mask)
            metric.update_state(targets[index], arrays[index], sample_weight=weight)

    @staticmethod
    def _targets(outputs: Outputs, y: Any) -> list[Any]:
        entries = list(flatten(y)) if isinstance(y, (list, tuple)) else None
        if entries is not None and len(entries) < len(outputs.values):  # some outputs have no loss
            raise ValueError(
                f"{len(outputs.values)} outputs, {len(entries)} targets; with metrics, give a target per output, "
                "or a dict of targets"
            )
        return outputs.split(y, "targets")

    def result(self) -> dict[str, float]:  # type: ignore[override]
        """All numbers so far, by name."""
        made = self.made or {}
        names = sorted(made) if len({index for index, _, _ in made.values()}) > 1 else made
        return {name: made[name][1].result() for name in names}

    @property
    def metrics(self) -> list[Any]:
        """The metric objects; none before the first batch."""
        return [metric for _, metric, _ in (self.made or {}).values()]

    def reset_state(self) -> None:
        """Forget all batches."""
        for metric in self.metrics:
            metric.reset_state()


def _as_loss(loss: Any) -> Any:
    """A loss object; None and the names that depend on the shapes stay."""
    return loss if loss is None or loss in ("crossentropy", "ce") else losses_module.as_loss(loss)


def _no_target(output: str) -> str:
    return (
        f"{output} has a loss, but there is no target for it: give y beside x, validation_data=(x, y), and batches "
        "as (x, y)"
    )


def _crossentropy(loss: Any, y: Any, p: Any) -> Any:
    if not isinstance(loss, str):
        return loss
    if y is None:
        raise ValueError(_no_target("an output"))
    return losses_module.fitting(loss, np.shape(y), p.shape)


def _metric(metric: Any, y_shape: tuple[int, ...], p_shape: tuple[int, ...]) -> Any:
    """The metric that a name means for these shapes, under that name; a function is wrapped."""
    if callable(metric) and not isinstance(metric, (type, Metric)):
        return MeanMetricWrapper(metric, name=getattr(metric, "name", None))
    return metrics_module.fitting(metric, y_shape, p_shape)


def _sample_weights(outputs: Outputs, weight: Any) -> list[Any]:
    """One per output; a single one counts for all."""
    if weight is None or isinstance(weight, Mapping):
        return outputs.split(weight, "sample_weight")
    entries = list(flatten(weight)) if isinstance(weight, (list, tuple)) else [weight]
    return entries * len(outputs.values) if len(entries) == 1 else outputs.split(entries, "sample_weight")


def _masked(weight: Any, mask: Any) -> Any:
    """Sample weights, 0 where the mask is false."""
    if mask is None or weight is None:
        return weight if mask is None else np.asarray(mask)
    mask, weight = np.asarray(mask), np.asarray(weight)
    return mask * weight.reshape(*weight.shape, *[1] * (mask.ndim - weight.ndim))
