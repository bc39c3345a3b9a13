"""The columns of a product, reordered and scaled in its weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..step.body import Value
from ..step.walks import is_product, joins_columns


class Folding:
    """Put the inner factor of gates and their order into the weights: `½ (x W) = x (½ W)`.

    `σ(z) = ½ + ½ tanh(½ z)` then needs one tanh for all gates of an LSTM (float32, where tanh is fast), and
    `σ(z) = 1 / (1 + exp(−z))` no change of sign. The factors ½ and −1 are exact.

    `users` says who uses each value; `varying` are the values that are not the same at every step. Both are kept up.
    If it is not `on`, nothing can be folded.
    """

    def __init__(self, users: dict[Value, list[Any]], varying: set[Value], on: bool) -> None:
        self.users, self.varying, self.on = users, varying, on
        self.folded: dict[Any, Value] = {}

    def possible(self, value: Any, user: Value, width: int, moved: bool = True) -> bool:
        """Whether a value that only `user` needs is a sum of products, whose weights are the same at every step.

        Their columns are moved `width` by `width`. Parts of such a sum will do. If they are not `moved`, but scaled
        alone, a factor will do as well, such as the gain of a normalization.
        """
        if not self.on or not isinstance(value, Value) or not value.shape:
            return False
        if value not in self.varying:
            return True
        if self.users.get(value) != [user]:
            return False
        if value.op == "add":
            same = all(isinstance(a, Value) and a.shape[-1:] == value.shape[-1:] for a in value.args)
            return same and all(self.possible(a, value, width, moved) for a in value.args)
        if value.op == "part" and value.args[0].op == "split":
            split = value.args[0]
            whole, at_last = split.args[0], split.attrs["axis"] == len(value.shape) - 1
            fits = at_last and _first_column(value) % width == whole.shape[-1] % width == 0
            return fits and self.possible(whole, split, width, moved)
        if joins_columns(value):  # gate by gate, which can be moved as they are
            gates = all(a.shape[1] == width for a in value.inputs)
            return gates and all(self.possible(a, value, width, False) for a in value.args)
        if value.op == "multiply":
            return not moved and self._gain(value) is not None
        return is_product(value, self.varying)

    def _gain(self, product: Value) -> int | None:
        """Which factor of a product is one number per column, the same at every step."""
        for i, a in enumerate(product.args):
            same = isinstance(a, Value) and a not in self.varying
            if same and a.shape[-1:] == product.shape[-1:] == (math.prod(a.shape),):
                return i
        return None

    def fold(
        self, value: Value, order: list[int], scales: list[float], width: int, new: Callable[..., Value]
    ) -> Value:
        """The value with its columns in another order, times a scale each; `new` makes ops."""
        if value not in self.varying:
            if value.op == "fold" and value.attrs["width"] == width:  # both at once
                scales = [value.attrs["scales"][i] * scale for i, scale in zip(order, scales, strict=True)]
                order, value = [value.attrs["order"][i] for i in order], value.args[0]
            attrs = {"order": tuple(order), "scales": tuple(scales), "width": width}
            key = value, *attrs.values()
            if key not in self.folded:  # once, for all products with it
                label = f"{value.label}_folded" if value.label else "folded"
                self.folded[key] = new("fold", (value,), attrs, value.shape, label)
            return self.folded[key]
        if value.op == "part":  # the other columns stay as they are
            split = value.args[0]
            (whole,), a = split.args, _first_column(value) // width
            b, n = a + len(order), whole.shape[-1] // width
            order = [*range(a), *[a + i for i in order], *range(b, n)]
            whole = self.fold(whole, order, [1.0] * a + scales + [1.0] * (n - b), width, new)
            split.args, self.users[whole] = (whole,), [split]
            return value
        if value.op == "concatenate":
            moved = zip([value.args[i] for i in order], scales, strict=True)
            gates = tuple(
                [self.fold(a, [0], [scale], width, new) if scale != 1.0 else a for a, scale in moved]
            )
            made = new("concatenate", gates, value.attrs, value.shape, value.label)
            self.users.update({a: [made] for a in gates})
            return made
        changed = {"add": (0, 1), "matmul": (1,), "multiply": (self._gain(value),)}[value.op]
        args = tuple(
            [self.fold(a, order, scales, width, new) if i in changed else a for i, a in enumerate(value.args)]
        )
        for arg in args:
            if isinstance(arg, Value) and arg.op == "fold":
                arg.eq = value.eq
        if value.op == "multiply":
            value.args = args
            return value
        made = new(value.op, args, {}, value.shape, value.label)
        made.eq = value.eq
        self.users.update({a: [made] for a in args if a in self.varying and value.op == "add"})
        return made


def _first_column(part: Value) -> int:
    """Where a part of a split begins."""
    first: int = (0, *part.args[0].attrs["at"])[part.attrs["index"]]
    return first
