"""Classes that are declared by a formula: its options are their arguments, its docstring is part of theirs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any


def options_of(formula: Callable[..., Any]) -> dict[str, Parameter]:
    """The parameters of a formula after `y_true` and `y_pred`, by name.

    >>> def scaled(y_true, y_pred, factor=2.0): ...
    >>> list(options_of(scaled))
    ['factor']
    """
    return dict(list(inspect.signature(formula, eval_str=True).parameters.items())[2:])


def declare(cls: type, formula: Callable[..., Any], common: Mapping[str, Any], order: str) -> None:
    """Give `cls` an `__init__` with the options of `formula` and the `common` arguments, in this `order`.

    The common arguments, given with their defaults, go to the `__init__` of the base class; the options
    become attributes.

    >>> class Base:
    ...     def __init__(self, name): self.name = name
    >>> class Scaled(Base):
    ...     \"\"\"An example.\"\"\"
    >>> def scaled(y_true, y_pred, factor=2.0): ...
    >>> declare(Scaled, scaled, {"name": None}, order="factor name")
    >>> inspect.signature(Scaled), vars(Scaled(3.0))
    (<Signature (factor=2.0, name=None)>, {'name': None, 'factor': 3.0})
    """
    known = options_of(formula)
    for name, default in common.items():
        known[name] = Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default)
    names = order.split()
    inherited: Any = cls.__init__  # type: ignore[misc]
    signature = inspect.Signature([known[name] for name in names])

    def __init__(self: Any, *args: Any, **options: Any) -> None:
        try:
            given = signature.bind(*args, **options)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}{signature}: {error}") from None
        given.apply_defaults()
        values = given.arguments
        inherited(self, **{name: values.pop(name) for name in common})
        vars(self).update(values)

    own = Parameter("self", Parameter.POSITIONAL_ONLY)
    __init__.__signature__ = signature.replace(parameters=[own, *signature.parameters.values()])  # type: ignore[attr-defined]
    cls.__init__ = __init__  # type: ignore[misc]
    cls.__doc__ = f"{cls.__doc__}\n\n    {formula.__doc__}"
