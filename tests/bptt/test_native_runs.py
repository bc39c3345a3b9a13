"""Loops in C as they are used: other lengths, other weights, threads, forks, interrupts; and what they do not take."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from bptt.steps import equal, lstm_step, weight

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.blas import OneThread, is_held
from tinygrad_rnn.bptt.native.binding import Pattern
from tinygrad_rnn.bptt.native.operands import Unbindable
from tinygrad_rnn.bptt.native.parsing import Foreign, parse
from tinygrad_rnn.denormals import flushed
from tinygrad_rnn.native.lanes import product
from tinygrad_rnn.native.library import InnerLoop, inner_loop, library

pytestmark = pytest.mark.skipif(library() is None, reason="there was no C compiler at installation")
H, N = 4, 3


@pytest.fixture
def patterns(monkeypatch: pytest.MonkeyPatch) -> list[Pattern]:
    """Those that are made during the test."""
    made: list[Pattern] = []
    begin = Pattern.__init__

    def noted(pattern: Pattern, *args: Any) -> None:
        begin(pattern, *args)
        made.append(pattern)

    monkeypatch.setattr(Pattern, "__init__", noted)
    return made


class Weights:
    """Those of an LSTM, and what it gives."""

    def __init__(self) -> None:
        self.w, self.u = tg.Variable(weight((H, 4 * H), 0)), tg.Variable(weight((H, 4 * H), 100))

    def run(self, steps: int, derive: bool = True, seed: int = 0) -> list[Any]:
        """The outputs of a run over so many steps, and the gradients of its weights."""
        x, zero = np.random.default_rng(seed).standard_normal((N, steps, H)), np.zeros((N, H))
        y, last = tg.scan(lstm_step(self.w, self.u), x, [zero, zero], derive=derive)
        return [np.array(v) for v in (y, *last, *tg.grad((y * y).sum(), [self.w, self.u]))]


def test_sequences_of_all_lengths_have_one_pattern(plans: Any, patterns: list[Pattern]) -> None:
    lstm = Weights()
    for steps in (9, 20, 4, 33, 9, 5):
        equal(lstm.run(steps), lstm.run(steps, derive=False), 1e-10)
    assert len(patterns) == 4  # forwards and backwards; a first trial has three steps
    for steps in (1, 2, 3):  # of which less is known; one is run in Python
        equal(lstm.run(steps), lstm.run(steps, derive=False), 1e-10)
    assert len(patterns) == 6


def test_weights_that_lie_elsewhere_the_next_time(plans: Any, patterns: list[Pattern]) -> None:
    lstm = Weights()
    for seed in range(4):
        lstm.w.assign(np.random.default_rng(seed).standard_normal((H, 4 * H)))
        lstm.u.assign(np.random.default_rng(seed + 10).standard_normal((H, 4 * H)))
        equal(lstm.run(8, seed=seed), lstm.run(8, False, seed), 1e-10)
    assert len(patterns) == 4


def test_a_weight_with_the_name_of_a_function(plans: Any) -> None:
    exp2 = tg.Variable(weight((H, H), 0), name="exp2")

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + states[0] @ exp2)
        return h, [h]

    x, zero = np.random.default_rng(0).standard_normal((N, 6, H)), np.zeros((N, H))
    for seed in range(3):
        exp2.assign(np.random.default_rng(seed).standard_normal((H, H)))
        got, want = (
            [np.array(v) for v in (y, *tg.grad(y.sum(), [exp2]))]
            for y in (tg.scan(step, x, [zero], derive=derive)[0] for derive in (True, False))
        )
        equal(got, want, 1e-10)


def test_it_can_be_switched_off_with_the_same_bits(plans: Any) -> None:
    lstm = Weights()
    native = lstm.run(12)
    with tg.bptt.without("native"):
        python = lstm.run(12)
    assert len(plans) == 2
    assert [plan.native for plan in plans.values()] == [True, False]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(native, python, strict=True))


def test_nobody_holds_memory_of_a_call() -> None:
    """The arrays that a call brings along are not kept with the memory that is used again."""
    a, g = np.zeros((6, 3, 4)), np.ones((6, 3, 4))
    pattern = Pattern(parse(["add(g[t], 1.0, out=a[t])"]), {"a": a, "g": g}, 6, False, 3, ("g",), {})
    loop = pattern.bound({"a": a, "g": g}, 6)
    loop.run((g,))
    held = weakref.ref(g)
    del g
    gc.collect()
    assert held() is None and (a == 2).all()


def test_two_threads_have_a_helper_that_rounds_as_they_do(two_threads: None) -> None:
    """Where denormal numbers become 0, they do in both parts of a product."""
    a, b = np.full((64, 8), 1e-30, "float32"), np.full((8, 64), 1e-12, "float32")
    kept = product(a, b)
    assert kept.min() > 0
    with flushed():
        gone = product(a, b)
    assert not gone.any() or not tg.set_flush_denormal(True)
    assert product(a, b).min() > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shapes", [((3, 5), (5, 70)), ((70, 5), (5, 3)), ((1, 4), (4, 1)), ((33, 40), (40, 33))]
)
def test_products(shapes: Any, dtype: str, two_threads: None) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s).astype(dtype) for s in shapes)
    want = a @ b
    for left in (a, np.asfortranarray(a), np.repeat(a, 2, axis=1)[:, ::2]):
        for right in (b, np.asfortranarray(b), np.repeat(b, 2, axis=0)[::2]):
            np.testing.assert_allclose(product(left, right), want, rtol=1e-4)
            out = np.full((2, *want.shape), 7, dtype)
            assert product(left, right, out=out[0]).base is out
            np.testing.assert_allclose(out[0], want, rtol=1e-4)
            assert (out[1] == 7).all()


def test_a_product_over_its_own_factor(two_threads: None) -> None:
    a = np.random.default_rng(0).standard_normal((32, 32))
    want, b = a @ a, a.copy()
    product(a, b, out=a)
    np.testing.assert_allclose(a, want)
    with pytest.raises(ValueError, match="matmul"):
        product(np.ones((2, 3)), np.ones((2, 3)))


def test_blas_gets_its_threads_back(two_threads: None) -> None:
    product(np.ones((64, 64)), np.ones((64, 64)))
    assert not is_held()
    with OneThread():
        product(np.ones((64, 64)), np.ones((64, 64)))
        assert is_held()
    assert not is_held()


def test_several_threads_at_once(two_threads: None) -> None:
    models = [Weights() for _ in range(4)]
    want = [m.run(50, False, seed) for seed, m in enumerate(models)]
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for _ in range(10):
                equal(models[seed].run(50, True, seed), want[seed], 1e-9)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_after_a_fork_there_is_another_helper() -> None:
    program = """
import os, numpy as np
from tinygrad_rnn.native import lanes
lanes.lanes = lambda: 2
a = np.ones((512, 512), "float32")
assert (lanes.product(a, a) == 512).all()
child = os.fork()
good = bool((lanes.product(a, a) == 512).all())
if not child:
    os._exit(0 if good else 1)
assert good and os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)


def test_a_long_loop_can_be_interrupted(plans: Any) -> None:
    lstm, said = Weights(), []

    def stop(*_: Any) -> None:
        said.append("stop")
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    x, zero = np.zeros((1, 400_000, H)), np.zeros((1, H))
    try:
        tg.scan(lstm_step(lstm.w, lstm.u), x[:, :9], [zero, zero], derive=True)  # which makes the plan
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt), tg.no_grad():
            for _ in range(1000):
                tg.scan(lstm_step(lstm.w, lstm.u), x, [zero, zero], derive=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert said == ["stop"]
    equal(lstm.run(9), lstm.run(9, False), 1e-10)


def test_without_the_library_everything_runs_in_python() -> None:
    program = """
import numpy as np, tinygrad_rnn as tg
layer = tg.layers.LSTM(3)
with tg.derived():
    print(layer(np.ones((2, 5, 4), "float32")).sum().item())
print(tg.explain(layer).splitlines()[-1])
"""
    said = []
    for value in ("0", "1"):
        env = {**os.environ, "TINYGRAD_RNN_NATIVE": value, "PYTHONHASHSEED": "0"}
        code = "import tinygrad_rnn as tg; tg.utils.set_random_seed(0)\n" + program
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=120
        )
        said.append(done.stdout.splitlines())
    assert said[0][0] == said[1][0]
    assert "no C compiler" in said[0][1]
    assert said[1][1] == "backward: runs in C, statement by statement"


@pytest.mark.parametrize(
    "statement",
    [
        "y[t][...] = np.roll(x[t], (1,), (1,))",
        "np.add.at(y, np.s_[:, ids], x)",
        "y[t][...] = x[t][ids]",
        "y[t][...] = x[t].astype('float32')",
        "np.maximum.reduce(x[t], axis=1, out=y[t])",
        "np.cumsum(x[t], axis=1, out=y[t])",
        "np.modf(x, out=y)",
        "x += y",
        "y[t][...] = open('file')",
        "y[t][...] = x[t] ** 2",
    ],
)
def test_statements_that_only_python_runs(statement: str) -> None:
    with pytest.raises(Foreign) as caught:
        parse(["add(x, y, out=y)", statement])
    assert str(caught.value) == statement


def bound(statements: list[str], length: int = 6, **names: Any) -> Any:
    """A loop over these arrays."""
    pattern = Pattern(parse(statements), names, length, False, 3, (), {})
    return pattern.bound(names, length)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("add(a[t][:, 1:], 1.0, out=a[t][:, :-1])", "overlaps"),
        ("np.matmul(a[t], b, out=a[t])", "overlaps"),
        ("add(a[t], k, out=a[t])", "no loop for these types"),
        ("k[...] = a[0]", "changes the type"),
        ("add(a[t], a[t], out=a[t][::-1])", "overlaps"),
        ("multiply(a[t][:, ::-1], 2.0, out=c[t][:, ::-1])", "backwards"),
        ("c[t][...] = b[:, :3].reshape(3, 4)", "copied"),
        ("c[t][...] = odd[t]", "do not follow each other"),
        ("c[t][...] = several[t]", "copied"),
        ("add(a[t], nothing, out=c[t])", "is a NoneType"),
        ("add(a[t], late, out=c[t])", "not aligned"),
        ("add(a[t], b, out=c[t][:2])", "do not fit"),
        ("add(a[t], 1.0, out=fixed[t])", "read-only"),
        ("add(objects[t], objects[t], out=objects[t])", "does not hold numbers"),
        ("add(a[t][:0], 1.0, out=c[t][:0])", "empty"),
        ("add(1.0, 2.0, out=numbers[t])", "no array"),
    ],
)
def test_arrays_that_inner_loops_do_not_take(statement: str, reason: str) -> None:
    a, b, c = np.ones((7, 3, 4)), np.ones((4, 4)), np.ones((7, 3, 4))
    odd, several = [a[i] for i in (0, 1, 3, 2, 4, 5, 6)], [np.ones((3, 4)) for _ in range(7)]
    late = np.zeros(97, np.uint8)[1:].view(float).reshape(3, 4)
    names = {
        "a": a,
        "b": b,
        "c": c,
        "k": np.ones((3, 4), int),
        "odd": odd,
        "several": several,
        "nothing": None,
        "late": late,
    }
    names |= {
        "fixed": np.broadcast_to(np.ones((3, 4)), (7, 3, 4)),
        "objects": np.ones((7, 3), object),
        "numbers": np.ones(7),
    }
    before = [v.copy() for v in (a, b, c)]
    with pytest.raises(Unbindable, match=reason):
        bound([statement], **names)
    equal([a, b, c], before)


def test_a_pattern_does_not_take_arrays_that_lie_otherwise() -> None:
    a = np.ones((6, 3, 4))
    pattern = Pattern(parse(["multiply(a[t], 2.0, out=a[t])"]), {"a": a}, 6, False, 3, (), {})
    for other in (np.ones((6, 4, 3)), np.ones((6, 3, 4), "float32"), np.ones((12, 3, 4))[::2]):
        with pytest.raises(Unbindable, match="lie otherwise"):
            pattern.bound({"a": other}, 6)
    pattern.bound({"a": a}, 6).run(())
    assert (a == 2).all()


def test_steps_run_in_order_also_for_arrays_by_turns() -> None:
    y, pair = np.zeros((8, 3)), [np.ones(3), np.zeros(3)] * 4
    loop = bound(["add(pair[t], 1.0, out=pair[t + 1])", "y[t][...] = pair[t + 1]"], 7, y=y, pair=pair)
    for _ in range(2):
        pair[0][...] = 1
        loop.run(())
        equal([y[:7, 0]], [np.arange(2.0, 9.0)])


@pytest.mark.parametrize("backwards", [False, True])
def test_python_may_look_up_between_pieces_of_a_loop(backwards: bool) -> None:
    a, seen = np.ones((1000, 3)), []
    pattern = Pattern(parse(["multiply(a[t], 2.0, out=a[t])"]), {"a": a}, 1000, backwards, 3, (), {})
    loop = pattern.bound({"a": a}, 1000)
    loop._run(lambda table, count, turns, first, end, by: seen.append([*range(first, end, by)]))
    assert max(map(len, seen)) <= 256
    steps = [t for piece in seen for t in piece]
    assert steps == [*range(1000)][:: -1 if backwards else 1]


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1), (2, 0, 1)])
@pytest.mark.parametrize("reduced", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_sums_go_along_axes_in_the_order_of_numpy(axes: Any, reduced: Any) -> None:
    """Which the bits of a sum show, however the axes lie in memory."""
    shape, rng = (9, 5, 35), np.random.default_rng(0)
    made = rng.standard_normal((4, *(shape[a] for a in axes))).astype("float32")
    x = made.transpose(0, *(1 + axes.index(a) for a in range(3)))
    assert x.shape == (4, *shape)
    y = np.zeros((4, *(n for i, n in enumerate(shape) if i not in reduced)), "float32")
    bound([f"np.add.reduce(x[t], axis={reduced}, out=y[t, ...])"], 4, x=x, y=y).run(())
    want = np.stack([np.add.reduce(x[t], axis=reduced) for t in range(4)])
    assert y.tobytes() == want.tobytes()


@pytest.mark.parametrize(
    "ufunc", [np.add, np.tanh, np.matmul, np.exp, np.greater, np.maximum, np.vecdot], ids=lambda u: u.__name__
)
def test_inner_loops_are_those_of_the_ufunc(ufunc: np.ufunc) -> None:
    types = [t for t in ufunc.types if set(t) <= set("fd?->")]
    found = [inner_loop(ufunc, t) for t in types]
    assert found and all(isinstance(loop, InnerLoop) and loop.function for loop in found)
    assert inner_loop(ufunc, "fO->q") is None
