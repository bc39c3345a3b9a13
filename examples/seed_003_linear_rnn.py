"""The linear RNN that counts ones: gradients through time, why they explode, and Rprop, which does not care.

`S_k = X_k wx + S_{k-1} wRec`, two weights. The minus signs that the printed text lost are restored.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checks import Checks, options, pyplot, title

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.manual import linear_rnn as lin

X, T = lin.make_data()
TEST = np.array([[0.0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1]])
# (wx, wRec), colour in the figures, and cost there
POINTS = [
    ((2, 1), "r", 28.35),
    ((1, 2), "b", 265551.15),
    ((1, -2), "g", 85002.75),
    ((1, 0), "c", 21.35),
    ((1, 0.5), "m", 16.396010398864746),
    ((1, -0.5), "y", 23.29500331878662),
]


def states(x: Any, wx: Any, wRec: Any) -> list[Any]:
    """The engine's forward pass: S_0 .. S_n, each (m,)."""
    S = [tg.tensor(np.zeros(len(x)), requires_grad=True)]

    def step(x_k: Any, state: Any, constants: Any) -> tuple[Any, list[Any]]:
        s = x_k * wx + state[0] * wRec
        S.append(s)
        return s, [s]

    tg.scan(step, x, [S[0]])
    return S


def cost(S: list[Any]) -> Any:
    """`Σ (t − y)² / m`, y the last state."""
    return ops.square(T - S[-1]).sum() / len(X)


def leaves(wx: float, wRec: float) -> dict[str, Any]:
    """The two weights, as float64 variables."""
    return {"wx": tg.Variable(np.float64(wx), name="wx"), "wRec": tg.Variable(np.float64(wRec), name="wRec")}


def gradient_check(check: Checks) -> None:
    """By hand, out of the graph, by the seed's differences, and by `check_gradients`, at (1.2, 1.2)."""
    v = leaves(1.2, 1.2)
    loss = cost(states(X, **v))
    by_graph = [g.item() for g in tg.grad(loss, list(v.values()))]
    by_hand = [float(g) for g in lin.gradient(X, T, 1.2, 1.2)]
    check("cost", loss.item(), 110.22803726617079)
    check("gradient by hand", by_hand, [274.595429133218, 1593.2428444791924])
    check("gradient by the graph", by_graph, [274.595429133218, 1593.2428444791924], rtol=1e-15)
    numeric = [float(g) for g in lin.numerical_gradient(X, T, 1.2, 1.2)]
    check("numerical gradient", numeric, [274.59542906172, 1593.24284346951], rtol=1e-8)
    report = tg.check_gradients(lambda: cost(states(X, **v)), v)
    print(report)
    check("No gradient errors found", [row.verdict for row in report.rows], ["ok", "ok"])


def through_time(check: Checks) -> None:
    """`dξ/dS_{k-1} = wRec dξ/dS_k`: a geometric sequence, which explodes or vanishes.

    The tutorial's figure shows 20 times these numbers: it adds the output gradients of the 20 rows up, gives
    that one number to each of the 20 rows, and adds up again.
    """
    for (wx, wRec), _, value in POINTS:
        v = leaves(wx, wRec)
        S = states(X, **v)
        loss = cost(S)
        over_time = np.array([g.numpy().sum() for g in tg.grad(loss, S)])  # S_0 .. S_10
        check(f"cost at ({wx}, {wRec})", loss.item(), value, rtol=1e-14)
        by_hand = lin.gradient_over_time(X, T, wx, wRec)
        check.agree(f"gradient over time at ({wx}, {wRec})", over_time, by_hand, rtol=1e-13)
        print(f"        from S_10 to S_0: {over_time[-1]:.4g} ... {over_time[0]:.4g}, ratio wRec = {wRec}")
        shown = lin.gradient_over_time(X, T, wx, wRec, as_in_tutorial=True)
        check.agree(f"the figure shows 20 times that, ({wx}, {wRec})", shown, 20 * over_time, rtol=1e-13)


def rprop(check: Checks) -> list[tuple[float, float]]:
    """500 steps of `optimizers.Rprop` on the engine's gradients; the path (wx, wRec)."""
    v = leaves(-1.5, 2.0)
    weights = list(v.values())
    optimizer = tg.optimizers.Rprop(learning_rate=0.001, etas=(0.5, 1.2))
    path, costs = [(-1.5, 2.0)], []
    for _ in range(500):
        loss = cost(states(X, **v))
        costs.append(loss.item())
        optimizer.apply_gradients(zip(tg.grad(loss, weights), weights, strict=True))
        path.append((v["wx"].item(), v["wRec"].item()))
    costs.append(cost(states(X, **v)).item())
    milestones = {
        1: (-1.4995, 1.9995),
        10: (-1.487020658944, 1.987020658944),
        50: (1.718161444505056, 0.8341022946382431),
        100: (1.2120221196576606, 0.9518451331314709),
        200: (1.0477309671353028, 0.9887494654280373),
        500: (1.001355547207059, 0.9996744737846419),
    }
    for iteration, weights_then in milestones.items():
        check(f"(wx, wRec) after {iteration}", path[iteration], weights_then)
    check("the path is that of the hand-written Rprop", np.array_equal(path, lin.rprop(X, T)), True)
    check("final cost", costs[-1], 1.8008530879581043e-06, rtol=1e-6)
    check("first iteration with cost < 1", next(i for i, c in enumerate(costs) if c < 1), 43)
    check("first iteration with cost < 0.001", next(i for i, c in enumerate(costs) if c < 1e-3), 229)
    output = states(TEST, **v)[-1].numpy()[0]
    print(f"  Target output: {TEST.sum():.0f} vs Model output: {output:.2f}")
    check("model output shown", f"{output:.2f}", "5.00")
    check("model output", float(output), 4.9989637409516945, rtol=1e-14)
    return path


def surface(low: float, high: float) -> tuple[Any, Any, Any]:
    """The cost on a 100 x 100 grid: the seed's two loops as one broadcast."""
    wx, wRec = np.meshgrid(np.linspace(low, high, 100), np.linspace(low, high, 100))
    y = np.zeros((*wx.shape, len(X)))
    for k in range(X.shape[1]):
        y = X[:, k] * wx[..., None] + y * wRec[..., None]
    return wx, wRec, ((T - y) ** 2).sum(axis=-1) / len(X)


def plot(folder: Path, path: list[tuple[float, float]]) -> None:
    """The cost surface with the points and the path of Rprop, and the gradients over time."""
    plt = pyplot(folder)
    from matplotlib.colors import LogNorm

    figure, panels = plt.subplots(1, 2, figsize=(10, 4))
    for axes, (low, high) in zip(panels, [(-3, 3), (0, 2)], strict=True):
        wx, wRec, z = surface(low, high)
        axes.contourf(wx, wRec, z + 1, levels=np.logspace(-0.2, 8, 30), cmap="pink", norm=LogNorm())
        axes.plot(*np.transpose(path), "b.", markersize=3)
        for point, colour, _ in POINTS:
            axes.plot(*point, colour + "o")
        axes.set(xlabel="$w_x$", ylabel="$w_{rec}$", xlim=(low, high), ylim=(low, high))
    figure.suptitle("Cost surface, and the path of Rprop")
    figure.savefig(folder / "seed_003_cost_surface.png")
    figure, panels = plt.subplots(1, 2, figsize=(12, 4), sharey=True)
    for axes, as_in_tutorial in zip(panels, (True, False), strict=True):
        for (wx, wRec), colour, _ in POINTS:
            gradient = lin.gradient_over_time(X, T, wx, wRec, as_in_tutorial=as_in_tutorial)
            axes.plot(range(-10, 1), gradient, colour + ".-", label=f"({wx}, {wRec})")
        axes.set(xlabel="timestep k", xlim=(0, -10), yscale="symlog")
    panels[0].set(ylabel=r"$\partial\xi/\partial S_k$", title="As in the tutorial: 20 times too large")
    panels[1].set(title="The gradient, propagated backward from left to right")
    panels[1].legend(title="$(w_x, w_{rec})$", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(folder / "seed_003_gradient_over_time.png", bbox_inches="tight")
    plt.close("all")
    print(f"\nwritten: two figures in {folder}")


def main(argv: Sequence[str] | None = None) -> Checks:
    """Run the story; returns the checks."""
    arguments, check = options(argv, __doc__), Checks()
    title(f"1. The data: {X.shape[0]} rows of {X.shape[1]} bits, and how many ones they have")
    for row, target in zip(X[:3].astype(int), T, strict=False):
        print(f"  {''.join(map(str, row))} -> {target:.0f}")
    check("ones in all rows", float(T.sum()), 103.0)
    title("2. Gradient checking at wx = wRec = 1.2")
    gradient_check(check)
    title("3. The gradient over time")
    through_time(check)
    title("4. Rprop: only the signs of the gradients count")
    path = rprop(check)
    if arguments.plot:
        plot(arguments.plot, path)
    check.finish()
    return check


if __name__ == "__main__":
    sys.exit(1 if main().failed else 0)
