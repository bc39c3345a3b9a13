"""The yardstick: training steps of an RNN, an LSTM and a GRU in NumPy, made as fast as could be found by hand.

A step is the forward pass, softmax cross-entropy at every time step after a read-out, and the gradients of all
parameters. Weights have Keras's shapes and order of gates. What pays, and is used throughout:

- all buffers, and lists of all views that the loops need, are made once, in `__init__`; they begin at multiples of 64
  bytes, where wide instructions read fastest;
- `[h | 1 | x]` stand in one row per example, so a step has one product for recurrence, bias and projection, and all
  weights get their gradients from one product after the loop;
- products in rows `(N, gates·H)`, elementwise work in blocks `(gates, N, H)`, where a gate is contiguous: the ufunc
  that reads the product writes the blocks, so changing between the two costs nothing;
- sigmoid(x) = (1 + tanh(x/2)) / 2, the inner 1/2 folded into the weights: one tanh for all gates;
- what the backward loop needs but does not change is computed for a block of steps that stays in cache;
- the recurrent kernel is turned round once, before the backward loop, not by BLAS at every step;
- with AVX-512, examples are multiplied strip by strip of a large weight, which BLAS would pack at every step, some
  examples at a time, where the derived source does so;
- `a.dot(b, out)` and positional `out`, which cost half of what `np.matmul(a, b, out=out)` costs at batch 1.

Run this file to check all gradients against PyTorch in float64.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_rnn.bptt.passes.strips import tiles

Array = np.ndarray[Any, Any]
add, sub, mul, div, tanh, exp = np.add, np.subtract, np.multiply, np.divide, np.tanh, np.exp
IN_CACHE = 2**14  # elements of one state over a block of steps
TURNED = 3 * 2**12  # elements of a weight up to which it is turned round once for one example


class Problem(NamedTuple):
    """What a training step is given."""

    X: Array  # (N, T, D)
    labels: Array  # (N, T)
    weights: list[Array]  # kernel, recurrent kernel, bias, read-out kernel, read-out bias


def blocks(rows: Array, n: int) -> Array:
    """`(..., N, n·H)` seen as `(..., n, N, H)`."""
    return np.moveaxis(rows.reshape(*rows.shape[:-1], n, -1), -2, -3)


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that begins at a multiple of 64 bytes."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def in_strips(rows: int, W: Array, out: Array) -> tuple[Any, Array, Array]:
    """What multiplies, a weight and where its product goes: the last two strip by strip of their columns if it pays."""
    inner, columns = W.shape
    cut = tiles(rows, inner, columns)
    if cut is None:
        return np.ndarray.dot, W, out
    parts, blocks, width = cut
    strips = empty((parts, 1, columns // width, inner // parts, width), W.dtype)
    strips[...] = W.reshape(parts, 1, inner // parts, -1, width).swapaxes(2, 3)
    if parts == blocks == 1:
        return np.matmul, strips[0, 0], out.reshape(rows, -1, width).swapaxes(0, 1)
    if parts == 1:
        to = out.reshape(blocks, -1, columns // width, width).swapaxes(1, 2)
        return lambda x, W, out: np.matmul(x.reshape(blocks, 1, -1, inner), W, out), strips[0], to
    pieces = empty((parts, rows, columns), W.dtype)
    to = pieces.reshape(parts, blocks, -1, columns // width, width).swapaxes(2, 3)

    def product(x: Array, W: Array, to: Array) -> None:
        x = x.reshape(blocks, -1, parts, 1, inner // parts)
        np.matmul(x.transpose(2, 0, 3, 1, 4), W, to)
        add.reduce(pieces, 0, None, out)

    return product, strips, to


class Step:
    """What the three share: the rows `[h | 1 | x]`, the read-out and the loss."""

    gates: ClassVar[int]

    def __init__(
        self, batch: int, steps: int, features: int, units: int, classes: int, dtype: Any = np.float32
    ) -> None:
        self.N, self.T, self.D, self.H, self.dtype = batch, steps, features, units, dtype
        self.one, self.half = np.array(1, dtype), np.array(0.5, dtype)  # 0-d: Python's cost 0.3 µs more
        self.rows = self.new(steps + 1, batch, units + 1 + features)
        self.rows[0, :, :units], self.rows[:, :, units] = 0, 1  # h starts from 0
        self.flat = self.rows.reshape(-1, self.rows.shape[-1])  # steps and examples in one axis
        self.dy, self.dh, self.back = self.new(steps, batch, units), *self.new(2, batch, units)
        self.UT = self.new(self.gates * units, units)
        self.logits, self.norm = self.new(steps * batch, classes), self.new(steps * batch, 1)
        self.each, self.share = np.arange(steps * batch), np.array(1 / (steps * batch), dtype)
        self.prepare()

    def new(self, *shape: int) -> Array:
        return empty(shape, self.dtype)

    def turned(self, U: Array) -> Array:
        """`Uᵀ` in one piece, unless that costs more than it saves."""
        if self.N == 1 and U.size > TURNED:
            return U.T
        np.copyto(self.UT, U.T)
        return self.UT

    def blocks_of_steps(self) -> list[tuple[slice, slice]]:
        """The last first, each with the part of the buffers for one block that it fills."""
        size = min(self.T, max(1, IN_CACHE // (self.N * self.H)))
        starts = range(0, self.T, size)
        return [(slice(t, min(t + size, self.T)), slice(min(size, self.T - t))) for t in reversed(starts)]

    def __call__(self, X: Array, labels: Array, weights: list[Array]) -> tuple[float, list[Array]]:
        """Loss and gradients for `X` `(N, T, D)`, `labels` `(N, T)` and kernel, recurrent kernel, bias, read-out
        kernel, read-out bias."""
        *cell, kernel, bias = weights
        self.rows[:-1, :, self.H + 1 :] = X.swapaxes(0, 1)
        self.forward(*cell)
        outputs = self.flat[self.N :, : self.H]
        loss = self.cross_entropy(outputs, labels.T.reshape(-1), kernel, bias)
        np.matmul(self.logits, kernel.T, out=self.dy.reshape(-1, self.H))
        self.back.fill(0)
        gradients = self.backward(*cell)
        return loss, [*gradients, outputs.T @ self.logits, self.logits.sum(axis=0)]

    def cross_entropy(self, outputs: Array, labels: Array, kernel: Array, bias: Array) -> float:
        """The mean over all steps; leaves its gradient in `logits`."""
        logits, norm = self.logits, self.norm
        np.matmul(outputs, kernel, out=logits)
        add(logits, bias, logits)
        np.max(logits, axis=1, keepdims=True, out=norm)
        sub(logits, norm, logits)
        chosen = logits[self.each, labels]
        exp(logits, logits)
        np.sum(logits, axis=1, keepdims=True, out=norm)
        loss = float((np.log(norm[:, 0]) - chosen).mean())
        div(self.share, norm, norm)
        mul(logits, norm, logits)
        logits[self.each, labels] -= self.share
        return loss

    def prepare(self) -> None:
        raise NotImplementedError

    def forward(self, K: Array, U: Array, b: Array) -> None:
        raise NotImplementedError

    def backward(self, K: Array, U: Array, b: Array) -> list[Array]:
        raise NotImplementedError


class RNN(Step):
    """`h = tanh([h | 1 | x] W)`; backwards `dz = dh · (1 - h²)`."""

    gates = 1

    def prepare(self) -> None:
        N, T, H, rows = self.N, self.T, self.H, self.rows
        self.W, self.z, self.dz = self.new(H + 1 + self.D, H), self.new(N, H), self.new(T, N, H)
        self.steps = list(zip(rows[:-1], rows[1:, :, :H], strict=True))
        self.plan = []
        for now, used in self.blocks_of_steps():
            slope = self.new(used.stop, N, H)
            h = rows[1:, :, :H][now]
            steps = list(zip(self.dy[now], slope, self.dz[now], strict=True))
            self.plan.append((h, slope, steps[::-1]))

    def forward(self, K: Array, U: Array, b: Array) -> None:
        W, z = self.W, self.z
        np.concatenate([U, b[None], K], out=W)
        product, W, out = in_strips(self.N, W, z)
        for row, h in self.steps:
            product(row, W, out)
            tanh(z, h)

    def backward(self, K: Array, U: Array, b: Array) -> list[Array]:
        dh, back = self.dh, self.back
        product, UT, out = in_strips(self.N, self.turned(U), back)
        for h, slope, steps in self.plan:
            mul(h, h, slope)
            sub(self.one, slope, slope)
            for dy, slope_t, dz in steps:
                add(back, dy, dh)
                mul(dh, slope_t, dz)
                product(dz, UT, out)
        dW = self.flat[: -self.N].T @ self.dz.reshape(-1, self.H)
        return [dW[self.H + 1 :], dW[: self.H], dW[self.H]]


class LSTM(Step):
    """Blocks `o, i, f, g, c` of a step stand side by side, `c` being the state before it, so `(i, f) · (g, c)` is one
    product of contiguous blocks. Backwards `di, df, dg` are `dc · factor` and `do` is `dh · factor`."""

    gates = 4

    def prepare(self) -> None:
        N, T, H, rows, new = self.N, self.T, self.H, self.rows, self.new
        self.W, self.z, self.pair = new(H + 1 + self.D, 4 * H), new(N, 4 * H), new(2, N, H)
        self.dz, self.dc, self.scratch, self.tanh_c = new(T, N, 4 * H), new(N, H), new(N, H), new(T, N, H)
        self.G = G = new(T + 1, 5, N, H)
        self.steps = list(
            zip(
                *(rows[:-1], G[:-1, :4], G[:-1, :3], G[:-1, 1:3], G[:-1, 3:]),
                *(G[1:, 4], self.tanh_c, G[:-1, 0], rows[1:, :, :H]),
                strict=True,
            )
        )
        size = self.blocks_of_steps()[-1][1].stop
        slopes, factors = new(size, 3, N, H), new(5, size, N, H)
        self.plan = []
        for now, used in self.blocks_of_steps():
            dz = self.dz[now]
            gates = blocks(dz, 4).swapaxes(0, 1)
            steps = zip(self.dy[now], *factors[:, used], G[now, 2], *gates, dz, strict=True)
            self.plan.append((G[now], self.tanh_c[now], slopes[used], factors[:, used], list(steps)[::-1]))

    def forward(self, K: Array, U: Array, b: Array) -> None:
        W, z, pair, half, H = self.W, self.z, self.pair, self.half, self.H
        for part, w in ((W[:H], U), (W[H : H + 1], b[None]), (W[H + 1 :], K)):
            mul(w[:, : 2 * H], half, part[:, H : 3 * H])  # i, f
            mul(w[:, 3 * H :], half, part[:, :H])  # o
            part[:, 3 * H :] = w[:, 2 * H : 3 * H]  # g
        gates, first, second = blocks(z, 4), *pair
        self.G[0, 4] = 0
        product, W, z = in_strips(self.N, W, z)
        for row, oifg, oif, i_f, g_c, c, tanh_c, o, h in self.steps:
            product(row, W, z)
            tanh(gates, oifg)
            mul(oif, half, oif)
            add(oif, half, oif)
            mul(i_f, g_c, pair)
            add(first, second, c)
            tanh(c, tanh_c)
            mul(o, tanh_c, h)

    def backward(self, K: Array, U: Array, b: Array) -> list[Array]:
        dh, dc, back, scratch, one, UT = self.dh, self.dc, self.back, self.scratch, self.one, self.turned(U)
        dc.fill(0)
        product, UT, dh_before = in_strips(self.N, UT, back)
        for G, tanh_c, slopes, (to_i, to_f, to_g, to_o, to_c), steps in self.plan:
            o, i, f, g, c = G.swapaxes(0, 1)
            mul(G[:, :3], G[:, :3], slopes)
            sub(G[:, :3], slopes, slopes)  # s · (1 - s) for o, i, f
            mul(slopes[:, 0], tanh_c, to_o)
            mul(slopes[:, 1], g, to_i)
            mul(slopes[:, 2], c, to_f)
            mul(g, g, to_g)
            sub(one, to_g, to_g)
            mul(to_g, i, to_g)
            mul(tanh_c, tanh_c, to_c)
            sub(one, to_c, to_c)
            mul(to_c, o, to_c)
            for dy, by_i, by_f, by_g, by_o, by_c, f_t, di, df, dg, do, dz in steps:
                add(back, dy, dh)
                mul(dh, by_c, scratch)
                add(dc, scratch, dc)
                mul(dc, by_i, di)  # one product, broadcast over i, f, g, would cost as much as three
                mul(dc, by_f, df)
                mul(dc, by_g, dg)
                mul(dh, by_o, do)
                product(dz, UT, dh_before)
                mul(dc, f_t, dc)
        dW = self.flat[: -self.N].T @ self.dz.reshape(-1, 4 * self.H)
        return [dW[self.H + 1 :], dW[: self.H], dW[self.H]]


class GRU(Step):
    """`[h | 1 | x] W` for z and r, `[h | 1] V` for what r multiplies, and `[1 | x] P` before the loop. Backwards all
    is `dh · factors`, in blocks: of the candidate's projection, of z, of r, of what r multiplies."""

    gates = 3

    def prepare(self) -> None:
        N, T, H, rows, new = self.N, self.T, self.H, self.rows, self.new
        self.W, self.V, self.P = new(H + 1 + self.D, 2 * H), new(H + 1, H), new(1 + self.D, H)
        self.z, self.scratch, self.dz = new(N, 2 * H), new(N, H), new(T, N, 4 * H)
        self.x, self.u, self.change, self.G = new(T, N, H), new(T, N, H), new(T, N, H), new(T, 3, N, H)
        G, h = self.G, rows[:, :, :H]
        self.steps = list(
            zip(
                *(rows[:-1], rows[:-1, :, : H + 1], self.u, G[:, :2], G[:, 1], self.x, G[:, 2]),
                *(h[:-1], self.change, G[:, 0], h[1:]),
                strict=True,
            )
        )
        size = self.blocks_of_steps()[-1][1].stop
        factors, scratch = new(size, 4, N, H), new(size, N, H)
        self.plan = []
        for now, used in self.blocks_of_steps():
            dz = self.dz[now]
            steps = zip(self.dy[now], factors[used], blocks(dz, 4), dz[:, :, H:], G[now, 0], strict=True)
            values = (G[now], self.u[now], self.change[now], factors[used], scratch[used])
            self.plan.append((*values, list(steps)[::-1]))

    def forward(self, K: Array, U: Array, b: Array) -> None:
        W, V, P, z, half, scratch, H = self.W, self.V, self.P, self.z, self.half, self.scratch, self.H
        mul(U[:, : 2 * H], half, W[:H])
        mul(b[0, : 2 * H] + b[1, : 2 * H], half, W[H])
        mul(K[:, : 2 * H], half, W[H + 1 :])
        V[:H], V[H] = U[:, 2 * H :], b[1, 2 * H :]
        P[0], P[1:] = b[0, 2 * H :], K[:, 2 * H :]
        np.matmul(self.flat[: -self.N, H:], P, out=self.x.reshape(-1, H))
        gates = blocks(z, 2)
        product, W, out = in_strips(self.N, W, z)
        for row, h_one, u, zr, r, x, n, h_before, change, z_t, h in self.steps:
            product(row, W, out)
            h_one.dot(V, u)
            tanh(gates, zr)
            mul(zr, half, zr)
            add(zr, half, zr)
            mul(r, u, scratch)
            add(scratch, x, scratch)
            tanh(scratch, n)
            sub(h_before, n, change)
            mul(z_t, change, scratch)
            add(scratch, n, h)

    def backward(self, K: Array, U: Array, b: Array) -> list[Array]:
        dh, back, one, H = self.dh, self.back, self.one, self.H
        product, UT, out = in_strips(self.N, self.turned(U), back)
        dh.fill(0)
        for G, u, change, factors, scratch, steps in self.plan:
            z, r, n = G.swapaxes(0, 1)
            to_x, to_z, to_r, to_u = factors.swapaxes(0, 1)
            mul(n, n, to_x)
            sub(one, to_x, to_x)
            sub(one, z, scratch)
            mul(to_x, scratch, to_x)
            mul(scratch, z, scratch)
            mul(scratch, change, to_z)
            mul(to_x, r, to_u)
            sub(one, r, scratch)
            mul(scratch, to_u, scratch)
            mul(scratch, u, to_r)
            for dy, factors_t, dz, dz_u, z_t in steps:
                add(dh, back, dh)
                add(dh, dy, dh)
                mul(dh, factors_t, dz)
                product(dz_u, UT, out)
                mul(dh, z_t, dh)
        rows, dz = self.flat[: -self.N], self.dz.reshape(-1, 4 * H)
        dU = rows[:, : H + 1].T @ dz[:, H:]  # z, r, n
        dK = rows[:, H:].T @ dz[:, : 3 * H]  # n, z, r
        dK = np.concatenate([dK[:, H:], dK[:, :H]], axis=1)
        return [dK[1:], dU[:H], np.stack([dK[0], dU[H]])]


CELLS: dict[str, type[Step]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def random_problem(
    cell: str, N: int, T: int, D: int, H: int, V: int, dtype: Any = np.float32, directions: int = 1
) -> Problem:
    """The same numbers each time; with two directions, there are two times kernel, recurrent kernel and bias."""
    rng = np.random.default_rng(0)
    width = CELLS[cell].gates * H
    once = ((D, width), (H, width), (2, width) if cell == "gru" else (width,))
    shapes = (*once * directions, (directions * H, V), (V,))
    weights = [(rng.normal(size=shape) * shape[0] ** -0.5).astype(dtype) for shape in shapes]
    return Problem(rng.normal(size=(N, T, D)).astype(dtype), rng.integers(0, V, (N, T)), weights)


def check() -> None:
    """Compare with PyTorch in float64, twice: the buffers of the first step must not disturb the second."""
    from peers_torch import composed

    for cell, step in CELLS.items():
        for shape in ((1, 7, 3, 4, 5), (6, 9, 3, 4, 5), (16, 43, 5, 128, 6), (32, 4, 9, 512, 6)):
            problem = random_problem(cell, *shape, dtype=np.float64)
            loss, gradients = composed(cell, problem)()
            ours = step(*shape, dtype=np.float64)
            for _ in range(2):
                found, ours_now = ours(*problem)
                np.testing.assert_allclose(found, loss, rtol=1e-12)
                for got, want in zip(ours_now, gradients, strict=True):
                    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12 * abs(want).max())
            print(f"{cell:4s} {shape}: loss and gradients equal PyTorch's in float64")


if __name__ == "__main__":
    check()
