"""Shapes and positions, each function beside its counterpart in PyTorch."""

from __future__ import annotations

import numpy as np
from rows import C3, IDS, A, B, Row, V, nn

from tinygrad_rnn import ops

ROWS = [
    # shapes
    Row("reshape", lambda x: ops.reshape(x, (4, -1)), lambda t, x: x.reshape(4, -1), (C3,)),
    Row("reshape", lambda x: ops.reshape(x, -1), lambda t, x: x.reshape(-1), (C3,)),
    Row("ravel", ops.ravel, lambda t, x: x.reshape(-1), (C3,)),
    Row("transpose", ops.transpose, lambda t, x: x.permute(2, 1, 0), (C3,)),
    Row("transpose", lambda x: ops.transpose(x, (1, -1, 0)), lambda t, x: x.permute(1, 2, 0), (C3,)),
    Row("swapaxes", lambda x: ops.swapaxes(x, 0, -1), lambda t, x: x.swapaxes(0, -1), (C3,)),
    Row("moveaxis", lambda x: ops.moveaxis(x, 0, -1), lambda t, x: x.moveaxis(0, -1), (C3,)),
    Row("squeeze", ops.squeeze, lambda t, x: x.squeeze(), (A[:1, :, None],)),
    Row("squeeze", lambda x: ops.squeeze(x, (0, -1)), lambda t, x: x[0, :, 0], (A[:1, :, None],)),
    Row("expand_dims", lambda x: ops.expand_dims(x, (0, -1)), lambda t, x: x[None, ..., None], (A,)),
    Row("broadcast_to", lambda x: ops.broadcast_to(x, (3, 4)), lambda t, x: x.expand(3, 4), (V,)),
    Row("flip", ops.flip, lambda t, x: x.flip(0, 1, 2), (C3,)),
    Row("flip", lambda x: ops.flip(x, -1), lambda t, x: x.flip(-1), (C3,)),
    Row("roll", lambda x: ops.roll(x, 2), lambda t, x: x.roll(2), (A,)),
    Row("roll", lambda x: ops.roll(x, (1, -1), (0, 1)), lambda t, x: x.roll((1, -1), (0, 1)), (A,)),
    Row("roll", lambda x: ops.roll(x, 1, (0, 1)), lambda t, x: x.roll((1, 1), (0, 1)), (A,)),
    Row("stack", lambda *xs: ops.stack(xs, axis=-1), lambda t, *xs: t.stack(xs, -1), (A, B)),
    Row("concatenate", lambda *xs: ops.concatenate(xs, axis=-1), lambda t, *xs: t.cat(xs, -1), (A, B)),
    Row("concatenate", lambda *xs: ops.concatenate(xs), lambda t, *xs: t.cat(xs, 0), (A, B)),
    Row(
        "concatenate",
        lambda *xs: ops.concatenate(xs, None),
        lambda t, *xs: t.cat([x.flatten() for x in xs]),
        (A, V),
    ),
    Row("split", lambda x: ops.split(x, 2, axis=1)[1], lambda t, x: x.chunk(2, 1)[1], (A,)),
    Row("split", lambda x: ops.split(x, [1, 3], axis=-1)[1], lambda t, x: x[:, 1:3], (A,)),
    Row("unstack", lambda x: ops.unstack(x, 3)[2] * 2, lambda t, x: x.unbind(0)[2] * 2, (A,)),
    Row("pad", lambda x: ops.pad(x, 1), lambda t, x: nn(t).pad(x, (1, 1, 1, 1)), (A,)),
    Row(
        "pad",
        lambda x: ops.pad(x, ((1, 0), (0, 2)), constant_values=3.0),
        lambda t, x: nn(t).pad(x, (0, 2, 1, 0), value=3.0),
        (A,),
    ),
    *[
        Row(
            "pad",
            lambda x, m=m: ops.pad(x, ((0, 0), (2, 1), (0, 2)), mode=m),
            lambda t, x, n=n: nn(t).pad(x[None], (0, 2, 2, 1), mode=n)[0],
            (C3,),
        )
        for m, n in {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}.items()
    ],
    Row("pad", lambda x: ops.pad(x, (2, 1), mode="symmetric"), lambda t, x: x[[1, 0, 0, 1, 2, 3, 3]], (V,)),
    Row("repeat", lambda x: ops.repeat(x, 2, axis=1), lambda t, x: x.repeat_interleave(2, 1), (A,)),
    Row(
        "repeat",
        lambda x: ops.repeat(x, [2, 0, 1], 0),
        lambda t, x: x.repeat_interleave(t.tensor([2, 0, 1]), 0),
        (A,),
    ),
    Row("repeat", lambda x: ops.repeat(x, 3), lambda t, x: x.repeat_interleave(3), (A,)),
    Row("tile", lambda x: ops.tile(x, (2, 3)), lambda t, x: x.tile(2, 3), (A,)),
    Row("tile", lambda x: ops.tile(x, 2), lambda t, x: x.tile(2), (A,)),
    Row("tile", lambda x: ops.tile(x, (2, 1, 2)), lambda t, x: x.tile(2, 1, 2), (A,)),
    # positions
    Row("getitem", lambda x: ops.getitem(x, (slice(None), [0, 2, 2])), lambda t, x: x[:, [0, 2, 2]], (A,)),
    Row(
        "take", lambda x: ops.take(x, [[1, -1], [0, 0]], axis=1), lambda t, x: x[:, [[1, -1], [0, 0]]], (C3,)
    ),
    Row("take", lambda x: ops.take(x, [5, 0, 5]), lambda t, x: x.flatten()[[5, 0, 5]], (A,)),
    Row(
        "take_along_axis",
        lambda x: ops.take_along_axis(x, np.argsort(A, 1)[:, :2], axis=1),
        lambda t, x: x.gather(1, t.tensor(np.argsort(A, 1)[:, :2])),
        (A,),
    ),
    Row(
        "take_along_axis",
        lambda x: ops.take_along_axis(x, np.array([[0, -1, 0, 1]]), axis=0),
        lambda t, x: x.gather(0, t.tensor([[0, 2, 0, 1]])),
        (A,),
    ),
    Row(
        "segment_sum",
        lambda x: ops.segment_sum(x, IDS, 4),
        lambda t, x: t.zeros(4, 4, dtype=x.dtype).index_add(0, t.tensor(IDS), x),
        (A,),
    ),
    Row(
        "segment_sum",
        lambda x: ops.segment_sum(x, IDS),
        lambda t, x: t.stack([x[1], 0 * x[0], x[0] + x[2]]),
        (A,),
    ),
    Row(
        "scatter",
        lambda x: ops.scatter([[0, 1], [2, 0], [0, 1]], x, (3, 2)),
        lambda t, x: t.zeros(3, 2, dtype=x.dtype).index_put(
            (t.tensor([0, 2, 0]), t.tensor([1, 0, 1])), x, True
        ),
        (V[:3],),
    ),
    Row(
        "scatter",
        lambda x: ops.scatter([[2], [0]], x, (3, 4)),
        lambda t, x: t.stack([x[1], 0 * x[0], x[0]]),
        (A[:2],),
    ),
    Row(
        "shuffle",
        lambda x: ops.shuffle(x, axis=1, seed=4),
        lambda t, x: x[:, np.random.default_rng(4).permutation(4)],
        (A,),
    ),
    Row("hstack", lambda x, y: ops.hstack([x, y]), lambda t, x, y: t.hstack([x, y]), (A, B)),
    Row("hstack", lambda x: ops.hstack([x, 2.0 * x]), lambda t, x: t.hstack([x, 2.0 * x]), (V,)),
    Row("vstack", lambda x, y: ops.vstack([x, y]), lambda t, x, y: t.vstack([x, y]), (A, V)),
    Row("slice", lambda x: ops.slice(x, (1, 0), (2, 3)), lambda t, x: x[1:3, :3], (A,)),
    Row(
        "slice_update",
        lambda x, y: ops.slice_update(x, (1, 0), y[:2, 1:]),
        lambda t, x, y: t.cat([x[:1], t.cat([y[:2, 1:], x[1:, 3:]], 1)]),
        (A, B),
    ),
    Row("stop_gradient", lambda x: x * ops.stop_gradient(x), lambda t, x: x * x.detach(), (A,)),
]
