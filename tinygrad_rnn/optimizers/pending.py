"""`Pending`: what one step of an optimizer has computed and not yet put in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.op import Array
from ..core.tensor import Variable

Slots = dict[int, dict[str, Array]]  # id of a variable -> the arrays kept for it, by name


class Pending:
    """New values and slots, beside the old ones.

    >>> w = Variable([1.0])
    >>> after = Pending([w], {})
    >>> after.values[id(w)] = np.zeros(1, "float32")
    >>> after.value(w), w.tolist()
    (array([0.], dtype=float32), [1.0])
    """

    def __init__(self, variables: Iterable[Variable], slots: Slots) -> None:
        self.variables = list(variables)
        self.slots = dict(slots)
        self.values: dict[int, Array] = {}  # id of a variable -> its new value
        self.replaced: Slots = {}  # the old arrays of the new slots

    def value(self, variable: Variable) -> Array:
        """The new value, or the present one if there is none."""
        return self.values[id(variable)] if id(variable) in self.values else variable.numpy()

    def constrain(self, variable: Variable) -> None:
        """Let the variable's constraint have its way with the value; `ValueError` if it changes the shape."""
        constraint: Any = getattr(variable, "constraint", None)
        if constraint is None:
            return
        value = self.value(variable)
        value.flags.writeable = False  # a constraint gives a new array
        new = np.array(constraint(value), variable.dtype)
        if new.shape != variable.shape:
            raise ValueError(
                f"{variable.path}: the constraint turned shape {variable.shape} into {new.shape}; "
                "no weight was changed"
            )
        self.values[id(variable)] = new

    def copy_slots(self, variable: Variable, names: Iterable[str], spare: Slots) -> dict[str, Array]:
        """The slots of these names as arrays to change: copied into those of `spare`, if it has them."""
        key = id(variable)
        kept = self.slots[key]
        old = {name: kept[name] for name in names}
        new = spare.get(key, {})
        if new.keys() != old.keys():
            new = {name: np.empty_like(array) for name, array in old.items()}
        for name, array in new.items():
            array[...] = old[name]  # `copyto` takes longer to begin
        self.slots[key] = kept | new
        self.replaced.setdefault(key, old)
        return new
