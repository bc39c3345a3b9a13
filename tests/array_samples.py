"""Samples of the ops that are not elementwise: every kind of axis, index, product and shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from draws import (
    Draw,
    Rng,
    Sample,
    anything,
    signed,
    truth,
)


def regular(rng: Rng, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Matrices that are far from singular."""
    return 2.0 * np.eye(shape[-1]) + 0.3 * rng.standard_normal((*shape, shape[-1]))


def arrays(rng: Rng, shapes: list[Any], attrs: dict[str, Any] | None = None) -> Sample:
    """Normal numbers for every shape; arrays stay what they are."""
    args = [s if isinstance(s, np.ndarray) else anything(rng, s) for s in shapes]
    return Sample(args, attrs or {})


def apart(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """Distinct values, at least 0.5 apart: away from the ties of max and min."""
    size = int(np.prod(shape))
    return np.asarray(rng.permutation(size).reshape(shape) * 0.5 - size / 5)


def reductions(rng: Rng, draw: Draw = anything, empty: bool = True) -> list[Sample]:
    """The reduced axes as the public functions hand them over: sorted, non-negative."""
    cases: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((), ()),
        ((4,), (0,)),
        ((2, 3), (1,)),
        ((2, 3), (0, 1)),
        ((2, 3, 4), (0, 2)),
        ((2, 3), ()),
    ]
    if empty:
        cases += [((0, 3), (0,)), ((3, 0), (0,))]
    return [
        Sample([draw(rng, shape)], {"axis": axis, "keepdims": keepdims})
        for shape, axis in cases
        for keepdims in (False, True)
    ]


INDICES: list[tuple[tuple[int, ...], Any]] = [
    ((4,), 2),
    ((4,), -1),
    ((4,), slice(1, 3)),
    ((4,), slice(None, None, -1)),
    ((5, 3), slice(4, 0, -2)),
    ((5, 3), (slice(None), 1)),
    ((2, 3, 4), (..., 0)),
    ((2, 3, 4), (0, ..., slice(None, None, 2))),
    ((2, 3), (None, slice(None), None, 1)),
    ((), ()),
    ((), None),
    ((4,), slice(2, 2)),
    ((0, 3), (slice(None), 1)),
    ((4, 2), np.array([0, 2, 2, -1])),
    ((4, 2), np.array([[0, 0], [3, 1]])),
    ((4, 3), (np.array([0, 0, 3]), np.array([1, 1, 2]))),
    ((4, 3), (np.array([[0], [2]]), np.array([1, 1]))),
    ((4, 3, 2), (np.array([0, 0]), slice(None), np.array([1, 1]))),
    ((4,), np.array([], dtype=int)),
    ((4,), np.array([True, False, True, True])),
    ((2, 3), np.array([[True, False, True], [False, False, True]])),
    ((3, 2), (np.array([True, False, True]), 1)),
    ((3,), np.zeros(3, dtype=bool)),
]

EINSUMS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("i,i->", [(3,), (3,)]),
    ("i,j->ij", [(2,), (3,)]),
    ("bij,bjk->bik", [(2, 2, 3), (2, 3, 2)]),
    ("ij->ji", [(2, 3)]),
    ("ij->i", [(2, 3)]),  # j is summed out of the only operand
    ("ij,jk->k", [(2, 3), (3, 2)]),  # i is summed out of the first
    ("ij->", [(2, 3)]),
    ("ii->i", [(3, 3)]),
    ("ii->", [(3, 3)]),
    ("iij->j", [(2, 2, 3)]),
    ("ii,ij->j", [(3, 3), (3, 2)]),
    ("iii->i", [(2, 2, 2)]),
    ("ij,jk,kl->il", [(2, 3), (3, 2), (2, 4)]),
    ("a,ab,b->", [(2,), (2, 3), (3,)]),
    ("ZYij,jk->ZYik", [(2, 1, 2, 3), (3, 2)]),  # what an ellipsis becomes
    ("Yi,ZYi->ZY", [(1, 3), (2, 4, 3)]),  # ellipsis axes of length 1 broadcast
    (",i->i", [(), (3,)]),
    ("ij,jk->ik", [(2, 0), (0, 3)]),
]

MATMULS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((2, 2, 3), (3, 4)),
    ((2, 3), (2, 3, 4)),
    ((2, 2, 3), (2, 3, 2)),
    ((1, 2, 3), (4, 3, 2)),
    ((2, 1, 2, 3), (3, 3, 2)),
    ((2, 2, 2, 3), (3, 2)),
    ((2, 2, 2, 3), (3,)),
    ((3,), (2, 3, 2)),
    ((3,), (2, 1, 3, 2)),
    ((2, 3, 2, 3), (2, 1, 3, 2)),
    ((2, 0), (0, 3)),
    ((0, 3), (3, 2)),
    ((2, 0, 3), (3, 2)),
]


def put_back(rng: Rng) -> list[Sample]:
    return [
        arrays(rng, [np.zeros(shape)[index].shape], {"shape": shape, "index": index})
        for shape, index in INDICES
    ]


def along(rng: Rng) -> list[Sample]:
    """One axis, as `softmax` and `cumsum` take it."""
    cases = [((4,), 0), ((2, 3), 1), ((2, 3), 0), ((2, 3, 2), 1), ((0, 3), 1), ((3, 0), 0)]
    return [arrays(rng, [shape], {"axis": axis}) for shape, axis in cases]


def unary(cases: list[tuple[tuple[int, ...], dict[str, Any]]]) -> Callable[[Rng], list[Sample]]:
    return lambda rng: [arrays(rng, [shape], attrs) for shape, attrs in cases]


def joined(cases: list[tuple[list[tuple[int, ...]], int]]) -> Callable[[Rng], list[Sample]]:
    return lambda rng: [arrays(rng, list(shapes), {"axis": axis}) for shapes, axis in cases]


ARG = {"axis": None}
FLAGS = [((4,), (0,), False), ((2, 3), (1,), True), ((2, 3), (0, 1), False), ((0, 2), (0,), False)]

OTHERS: dict[str, Callable[[Rng], list[Sample]]] = {
    "clip": lambda rng: [
        Sample([signed(rng, (4,))], {"low": -1.05, "high": 1.05}),
        Sample([np.array([[-3.0, 0.5], [2.5, -0.5]])], {"low": -1, "high": 2}),
        Sample([signed(rng, ())], {"low": -np.inf, "high": 0.1}),
        Sample([signed(rng, (0, 2))], {"low": -1.0, "high": 1.0}),
    ],
    "cast": unary([((3,), {"dtype": np.dtype("float64")}), ((2, 2), {"dtype": np.dtype("float64")})]),
    "reshape": unary(
        [
            ((2, 3), {"shape": (3, 2)}),
            ((2, 3), {"shape": (-1,)}),
            ((), {"shape": (1, 1)}),
            ((1,), {"shape": ()}),
            ((2, 0), {"shape": (0, 5)}),
        ]
    ),
    "transpose": unary(
        [
            ((2, 3), {"axes": (1, 0)}),
            ((2, 3, 4), {"axes": (2, 0, 1)}),
            ((), {"axes": ()}),
            ((2, 0, 3), {"axes": (1, 2, 0)}),
        ]
    ),
    "broadcast_to": unary(
        [
            ((3,), {"shape": (2, 3)}),
            ((2, 1), {"shape": (4, 2, 3)}),
            ((), {"shape": (2, 2)}),
            ((1, 3), {"shape": (0, 3)}),
        ]
    ),
    "flip": unary(
        [
            ((3,), {"axis": (0,)}),
            ((2, 3), {"axis": (0, 1)}),
            ((2, 3, 2), {"axis": (1,)}),
            ((2, 3), {"axis": ()}),
            ((0, 2), {"axis": (0,)}),
        ]
    ),
    "roll": unary(
        [
            ((4,), {"shift": (1,), "axis": (0,)}),
            ((2, 3), {"shift": (1, -2), "axis": (0, 1)}),
            ((2, 5), {"shift": (13,), "axis": (1,)}),
            ((0, 2), {"shift": (1,), "axis": (0,)}),
        ]
    ),
    "stack": joined(
        [([(3,), (3,)], 0), ([(2, 3)] * 3, 1), ([(2, 3)] * 2, 2), ([(), ()], 0), ([(0, 2)] * 2, 1)]
    ),
    "unstack": unary(
        [((3,), {"axis": 0}), ((2, 3), {"axis": 1}), ((2, 3, 2), {"axis": 1}), ((2, 0), {"axis": 0})]
    ),
    "concatenate": joined(
        [
            ([(3,), (2,)], 0),
            ([(2, 3), (2, 1), (2, 2)], 1),
            ([(2, 1, 2), (2, 3, 2)], 1),
            ([(0, 2), (3, 2)], 0),
        ]
    ),
    "split": unary(
        [
            ((6,), {"at": (2, 4), "axis": 0}),
            ((2, 6), {"at": (3,), "axis": 1}),
            ((5, 2), {"at": (1, 2), "axis": 0}),
            ((2, 4), {"at": (), "axis": 1}),
            ((4,), {"at": (0, 4), "axis": 0}),
        ]
    ),
    "pad": unary(
        [
            ((3,), {"widths": ((1, 2),), "value": 0}),
            ((2, 3), {"widths": ((0, 1), (2, 0)), "value": 7.5}),
            ((2, 2), {"widths": ((0, 0), (0, 0)), "value": 0}),
            ((0, 2), {"widths": ((1, 0), (0, 1)), "value": 1.0}),
        ]
    ),
    "sum": reductions,
    "max": lambda rng: reductions(rng, apart, empty=False),
    "min": lambda rng: reductions(rng, apart, empty=False),
    "prod": lambda rng: [
        *(
            Sample([signed(rng, shape)], {"axis": (axis,), "keepdims": keepdims})
            for shape, axis in [((4,), 0), ((2, 3), 1), ((3, 2), 0), ((2, 3, 2), 1), ((0, 2), 0), ((2, 0), 0)]
            for keepdims in (False, True)
        ),
        Sample([np.array([[2.0, 0.0, 3.0], [0.0, 5.0, 0.0]])], {"axis": (1,), "keepdims": False}),
    ],
    "cumsum": along,
    "logsumexp": reductions,
    "argmax": lambda rng: [
        arrays(rng, [(4,)], ARG),
        arrays(rng, [(2, 3)], {"axis": 1}),
        arrays(rng, [(2, 3)], ARG),
    ],
    "argmin": lambda rng: [
        arrays(rng, [(4,)], ARG),
        arrays(rng, [(2, 3)], {"axis": 0}),
        arrays(rng, [(2, 3)], ARG),
    ],
    "all": lambda rng: [Sample([truth(rng, s)], {"axis": a, "keepdims": k}) for s, a, k in FLAGS],
    "any": lambda rng: [Sample([truth(rng, s)], {"axis": a, "keepdims": k}) for s, a, k in FLAGS],
    "getitem": lambda rng: [arrays(rng, [shape], {"index": index}) for shape, index in INDICES],
    "put_back": put_back,
    "take": lambda rng: [
        arrays(rng, [(4,), np.array([2, 0, 2])], {"axis": 0}),
        arrays(rng, [(2, 3), np.array([[0, 1], [1, 1]])], {"axis": 1}),
        arrays(rng, [(4, 2), np.array(3)], {"axis": 0}),
        arrays(rng, [(2, 3, 2), np.array([], dtype=int)], {"axis": 1}),
    ],
    "scatter_add": lambda rng: [
        arrays(rng, [(3,), np.array([2, 0, 2])], {"axis": 0, "length": 4}),
        arrays(rng, [(3, 2), np.array([1, 1, 0])], {"axis": 0, "length": 2}),
        arrays(rng, [(2, 2, 2), np.array([[0, 1], [1, 1]])], {"axis": 1, "length": 3}),
        arrays(rng, [(2, 3), np.array([1, 1, 1])], {"axis": 1, "length": 2}),
        arrays(rng, [(0, 2), np.array([], dtype=int)], {"axis": 0, "length": 3}),
    ],
    "matmul": lambda rng: [arrays(rng, list(shapes)) for shapes in MATMULS],
    "einsum": lambda rng: [arrays(rng, list(shapes), {"subscripts": text}) for text, shapes in EINSUMS],
    "solve": lambda rng: [
        arrays(rng, [regular(rng, shape), b])
        for shape, b in (((2,), (2, 3)), ((3, 2), (3, 2, 1)), ((1, 2), (3, 2, 2)))
    ],
    "norm": lambda rng: reductions(rng, signed),
    "softmax": along,
    "log_softmax": along,
    "sparse_cross_entropy": lambda rng: [
        arrays(rng, [(3, 4), np.array([0, 3, 3])]),
        arrays(rng, [(2, 2, 3), np.array([[0, 1], [2, 2]])]),
        arrays(rng, [(4,), np.array(2)]),
        arrays(rng, [(0, 3), np.array([], dtype=int)]),
    ],
}
