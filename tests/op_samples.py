"""Sample arguments for every op in the table: what the tests that walk the table feed it.

An op without an entry here fails `ops/test_every_op.py`. Values stay away from kinks and from the
borders of the domain; shapes include no axes, no elements, broadcasting and every kind of index.
"""

from __future__ import annotations

import numpy as np
from array_samples import OTHERS
from draws import (
    Draw,
    Rng,
    Sample,
    anything,
    between,
    halves,
    in_between,
    inner,
    positive,
    signed,
    small_integers,
    truth,
    with_nonfinite,
)

# How to draw each argument of an elementwise op.
ELEMENTWISE: dict[str, tuple[Draw, ...]] = {
    "add": (anything, anything),
    "subtract": (anything, anything),
    "multiply": (anything, anything),
    "divide": (anything, signed),
    "negative": (anything,),
    "power": (positive, anything),
    "square": (anything,),
    "sqrt": (positive,),
    "reciprocal": (signed,),
    "mod": (between(2.3, 2.6), between(0.95, 1.1)),
    "rsqrt": (positive,),
    "exp": (anything,),
    "expm1": (anything,),
    "log": (positive,),
    "log1p": (between(-0.6, 2.0),),
    "log2": (positive,),
    "log10": (positive,),
    "logaddexp": (anything, anything),
    "sin": (anything,),
    "cos": (anything,),
    "tan": (between(-1.2, 1.2),),
    "sinh": (anything,),
    "cosh": (anything,),
    "arcsin": (inner,),
    "arccos": (inner,),
    "arctan": (anything,),
    "arctanh": (inner,),
    "erf": (anything,),
    "absolute": (signed,),
    "maximum": (small_integers, in_between),
    "minimum": (small_integers, in_between),
    "where": (truth, anything, anything),
    "sign": (small_integers,),
    "floor": (halves,),
    "ceil": (halves,),
    "round": (halves,),
    "isfinite": (with_nonfinite,),
    "isnan": (with_nonfinite,),
    "isinf": (with_nonfinite,),
    "logical_not": (truth,),
    "equal": (small_integers, small_integers),
    "not_equal": (small_integers, small_integers),
    "less": (small_integers, small_integers),
    "less_equal": (small_integers, small_integers),
    "greater": (small_integers, small_integers),
    "greater_equal": (small_integers, small_integers),
    "logical_and": (truth, truth),
    "logical_or": (truth, truth),
    "floor_divide": (anything, signed),
    "tanh": (anything,),
    "sigmoid": (anything,),
    "relu": (signed,),
    "softplus": (signed,),
    "softsign": (signed,),
    "silu": (anything,),
    "binary_cross_entropy": (signed, between(0.0, 1.0)),
}

# Shapes that broadcast to one another, for one, two and three arguments.
SHAPES: dict[int, list[tuple[tuple[int, ...], ...]]] = {
    1: [((),), ((3,),), ((2, 3),), ((2, 0),)],
    2: [((), ()), ((3,), (3,)), ((2, 3), (3,)), ((), (2, 3)), ((2, 1, 3), (4, 1)), ((1, 3), (0, 3))],
    3: [((), (), ()), ((3,), (2, 3), ()), ((2, 1), (3,), (2, 3)), ((1,), (0,), ())],
}


def elementwise_samples(name: str, rng: Rng) -> list[Sample]:
    draws = ELEMENTWISE[name]
    return [
        Sample([draw(rng, shape) for draw, shape in zip(draws, shapes, strict=True)])
        for shapes in SHAPES[len(draws)]
    ]


def samples(name: str) -> list[Sample]:
    """The samples of one op, the same in every run."""
    rng = np.random.default_rng(list(name.encode()))
    return elementwise_samples(name, rng) if name in ELEMENTWISE else OTHERS[name](rng)


SAMPLED = frozenset(ELEMENTWISE) | frozenset(OTHERS)
