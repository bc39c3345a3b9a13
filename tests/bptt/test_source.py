"""`bptt_source`: Python that needs NumPy only, in sections, with the user's names, and with nothing else of theirs."""

from __future__ import annotations

import ast
import functools
import keyword
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bptt.problems import Result, every_cell, problem
from bptt.steps import equal

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt.writing.tight import tighten
from tinygrad_rnn.layers.symbolic import flatten

N, T, F, H = 2, 5, 3, 4


def lstm(rng: np.random.Generator) -> tuple[Any, dict[str, tg.Variable]]:
    """A step and its weights."""
    shapes = {"Wx": (F, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
    weights = {n: tg.Variable(rng.standard_normal(s), dtype="float64", name=n) for n, s in shapes.items()}

    def step(x: Any, states: Any, constants: Any) -> Any:
        h, c = states
        i, f, g, o = ops.split(x @ weights["Wx"] + h @ weights["Wh"] + weights["b"], 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]

    return step, weights


def lstm_source(rng: np.random.Generator) -> tuple[str, Any, dict[str, tg.Variable]]:
    step, weights = lstm(rng)
    zero = np.zeros((N, H))
    return tg.bptt_source(step, np.zeros((N, F)), [zero, zero]), step, weights


def functions(text: str) -> dict[str, ast.FunctionDef]:
    return {n.name: n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)}


def test_two_functions_with_the_names_of_the_user(rng: np.random.Generator) -> None:
    text, _, _ = lstm_source(rng)
    found = functions(text)
    assert list(found) == ["forward", "backward", "new_cache", "empty"]
    forward, backward, cached, _ = ([a.arg for a in found[n].args.args] for n in found)
    assert forward[:3] == ["X", "h0", "c0"] and forward[-1] == "cache"
    assert sorted(forward[3:-1]) == ["Wh", "Wx", "b"]
    assert backward == [*forward[:-1], "dY", "dH", "dC", "cache"]
    assert cached == ["X", "h0"]
    assert all(ast.get_docstring(found.pop(name)) for name in ("new_cache", "empty"))
    for function in found.values():
        body = ast.get_source_segment(text, function)
        assert body is not None and ast.get_docstring(function)
        places = [body.index(f"# {where} the loop: ") for where in ("before", "inside", "after")]
        assert places == sorted(places)
        assert len([n for n in ast.walk(function) if isinstance(n, ast.For)]) == 1
    imported = [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert {getattr(n, "module", None) or n.names[0].name for n in imported} == {"numpy"}
    assert isinstance(text, str) and "<pre>" in text._repr_html_()


def test_saved_to_a_file_it_gives_the_same_numbers_in_a_fresh_interpreter(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    text, step, weights = lstm_source(rng)
    (tmp_path / "derived_lstm.py").write_text(text, encoding="utf-8")
    names = [a.arg for a in functions(text)["forward"].args.args[:-1]]
    x, h0, c0 = (rng.standard_normal(s) for s in ((N, T, F), (N, H), (N, H)))
    values = {"X": x, "h0": h0, "c0": c0, **{n: w.numpy() for n, w in weights.items()}}
    cotangents = [rng.standard_normal(s) for s in ((N, T, H), (N, H), (N, H))]
    leaves = {k: tg.tensor(v, requires_grad=True) for k, v in {"X": x, "h0": h0, "c0": c0}.items()} | weights
    y, last = tg.scan(step, leaves["X"], [leaves["h0"], leaves["c0"]], derive=False)
    wanted = tg.grad([y, *last], list(leaves.values()), cotangents)
    np.savez(tmp_path / "given.npz", *[values[n] for n in names], *cotangents)
    program = f"""
import sys
import numpy as np
import derived_lstm
with np.load("given.npz") as file:
    given = [file[k] for k in file.files]
inputs, cotangents, cache = given[:{len(names)}], given[{len(names)}:], None
for _ in range(2):  # the second time in the memory of the first
    *values, cache = derived_lstm.forward(*inputs, cache=cache)
    found = derived_lstm.backward(*inputs, *cotangents, cache)
assert not any("tinygrad" in m for m in sys.modules)
np.savez("found.npz", **found, Y=values[0], h=values[1], c=values[2])
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    with np.load(tmp_path / "found.npz") as found:
        equal([found["Y"], found["h"], found["c"]], [y, *last])
        equal([found[f"d{n}"] for n in leaves], wanted)


@functools.cache
def source_of(name: str) -> tuple[str, Any]:
    """The source of a cell of the tests, and what it is called with."""
    p = problem(name, N, T)
    x = tuple(x[:, 0] for x in p.xs)
    text = tg.bptt_source(p.step, x if len(x) > 1 else x[0], p.states, p.constants)
    return text, p


@every_cell
def test_every_source_is_lines_of_identifiers_that_compile_alone(name: str) -> None:
    text, _ = source_of(name)
    assert max(map(len, text.splitlines())) <= 120
    namespace: dict[str, Any] = {}
    exec(compile(text, name, "exec"), namespace)
    for function in functions(text).values():
        arguments = [a.arg for a in function.args.args]
        assert len(set(arguments)) == len(arguments)
        assert all(a.isidentifier() and not keyword.iskeyword(a) for a in arguments)
        stored = {
            n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        known = {*namespace, "range", "list", "len", "map", "slice", "int", "None", "ValueError"}
        assert used <= {*stored, *arguments, *known}, used - stored - known - set(arguments)


def arguments(text: str, p: Any) -> list[Any] | None:
    """What `forward` is called with; None for a cell with constants that are no weights of the tests."""
    names = [a.arg for a in functions(text)["forward"].args.args[:-1]][len(p.xs) + len(p.states) :]
    if not set(names) <= set(p.weights):
        return None
    return [np.asarray(v) for v in (*p.xs, *p.states, *[p.weights[n] for n in names])]


@every_cell
def test_the_compiled_form_gives_the_bits_of_the_printed_one(name: str) -> None:
    """For cells without constants from outside: they are called with inputs, states and weights by name."""
    text, p = source_of(name)
    given, found = arguments(text, p), []
    if given is None:
        pytest.skip("its constants have other names than its weights")
    for source in (text, tighten(text)):
        module: dict[str, Any] = {}
        exec(source, module)
        *values, cache = module["forward"](*given)
        rng = np.random.default_rng(3)
        cotangents = [rng.standard_normal(v.shape).astype(v.dtype) for v in values]
        found.append([*values, *module["backward"](*given, *cotangents, cache).values()])
    for printed, compiled in zip(*found, strict=True):
        np.testing.assert_array_equal(printed, compiled)
    wanted = Result(problem(name, N, T), derive=False).values
    equal(found[0][: len(wanted)], wanted, 1e-11)


def test_views_are_made_before_the_loop() -> None:
    loop = """
    for t in range(T):
        dot(h[t], W.T, out=z)
        add(z[..., 0], c[0], out=z[..., 0])
        a[:, 1:2][...] = np.where(d, z.reshape((4, 2)), h_T[t])
        add(s[t][:, 0], W.T[:, :1], out=y[t + 1])
"""
    views, statements = tighten(loop).split("    for ")
    assert views.split("\n")[1:-1] == [
        "    view_0 = W.T",
        "    view_1 = z[..., 0]",
        "    view_2 = a[:, 1:2]",
        "    view_3 = W.T[:, :1]",
    ]
    assert statements.splitlines()[1:] == [
        "        h_at.dot(view_0, z)",
        "        add(view_1, c[0], view_1)",
        "        view_2[...] = np.where(d, z.reshape((4, 2)), h_T_at)",
        "        add(s_at[:, 0], view_3, y_at_next)",
    ]


def anonymous(text: str) -> str:
    """The statements, with every name replaced by its number."""
    tree, number = ast.parse(text), {}
    del tree.body[0]  # equations, and how to read it
    assert tree.body.pop().name == "empty"  # which is the same in all
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            del node.body[0]  # the docstring
        if isinstance(node, (ast.Name, ast.arg)):
            field = "id" if isinstance(node, ast.Name) else "arg"
            name = getattr(node, field)
            setattr(node, field, number.setdefault(name, f"name_{len(number)}"))
        if isinstance(node, ast.Dict):
            node.keys = []
    return ast.dump(tree)


@every_cell
def test_names_change_nothing_else(name: str) -> None:
    """What runs in Python has no names, and holds for one batch size; in C factors are computed in the loop, too."""
    p = problem(name, N, T)
    assert anonymous(p.composed("native", naming=False)) == anonymous(p.composed("native"))


HOSTILE = [
    "x): import os  #",
    "W = 1\nraise SystemExit",
    '"""',
    "for",
    "np",
    "T",
    "cache",
    "X",
    "h0",
    "add",
    "dY",
]
HOSTILE += ["Ω ω", "1a", ""]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_no_code(name: str) -> None:
    W = tg.Variable(np.eye(H), dtype="float64", name=name)
    plain = tg.tensor(np.full((H,), 0.5), requires_grad=True, name=name)
    h0 = np.ones((N, H))
    text = tg.bptt_source(lambda x, s, c: (s[0] * plain, [ops.tanh(x + s[0] @ W)]), np.zeros((N, H)), [h0])
    found = functions(text)
    assert list(found) == ["forward", "backward", "new_cache", "empty"] and len(ast.parse(text).body) <= 7
    arguments = [a.arg for a in found["forward"].args.args]
    assert len(set(arguments)) == len(arguments) == 5
    assert all(re.fullmatch(r"[^\W\d]\w*", a) and not keyword.iskeyword(a) for a in arguments)
    module: dict[str, Any] = {}
    exec(compile(text, "<hostile>", "exec"), module)
    weights = {(H, H): np.eye(H), (H,): np.full((H,), 0.5)}
    shapes = re.findall(r"^        \w+: \(([\d, ]+)\)$", text.partition("def backward")[0], re.M)
    given = [weights[tuple(int(n) for n in s.split(",") if n.strip())] for s in shapes]
    x = np.random.default_rng(0).standard_normal((N, T, H))
    y, h, cache = module["forward"](x, h0, *given)
    want, last = tg.scan(lambda x, s, c: (s[0] * plain, [ops.tanh(x + s[0] @ W)]), x, [h0], derive=False)
    equal([y, h], [want, last[0]])
    assert len(module["backward"](x, h0, *given, y, h, cache)) == 4


def test_a_step_that_cannot_be_derived_is_an_error() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x * float(ops.sum(x)), s

    with pytest.raises(Exception, match="reads the value of a tensor"):
        tg.bptt_source(step, np.zeros((N, H)), [np.zeros((N, H))])


LAYERS = {
    "SimpleRNN": (lambda: tg.layers.SimpleRNN(H), ["X", "h0"]),
    "LSTM": (lambda: tg.layers.LSTM(H), ["X", "h0", "c0"]),
    "GRU": (lambda: tg.layers.GRU(H), ["X", "h0"]),
    "stacked": (lambda: tg.layers.RNN([tg.layers.LSTMCell(H), tg.layers.GRUCell(3)]), ["X"]),
    "Bidirectional": (lambda: tg.layers.Bidirectional(tg.layers.LSTM(H)), ["X", "h0", "c0"]),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_source_of_a_layer(kind: str, float64: None) -> None:
    """Called with the layer's own weights, it gives what the layer gives."""
    make, first = LAYERS[kind]
    layer = make()
    with pytest.raises(ValueError, match="call the layer on data"):
        layer.bptt_source()
    x = np.random.default_rng(0).standard_normal((N, T, F))
    layer(x)
    one = getattr(layer, "forward_layer", layer)
    for weight in one.weights:
        weight.assign(np.random.default_rng(len(weight.path)).standard_normal(weight.shape))
    text = layer.bptt_source()
    arguments = [a.arg for a in functions(text)["forward"].args.args]
    assert arguments[: len(first)] == first
    states = [np.asarray(s) for s in flatten(one.get_initial_state(N))]
    assert len(arguments) == 1 + len(states) + len(one.weights) + 1
    length = 2 if kind == "stacked" else 1  # two cells have weights of the same names
    named = {"_".join(w.path.split("/")[-length:]): w for w in one.weights}
    given = {name: w.numpy() for name, w in named.items()}
    module: dict[str, Any] = {}
    exec(text, module)
    names = arguments[1 + len(states) : -1]
    assert set(names) == set(given)
    y, *_, cache = module["forward"](x, *states, *[given[n] for n in names])
    np.testing.assert_allclose(y[:, -1], one(x), rtol=1e-12, atol=1e-12)
    zeros = [np.zeros_like(s) for s in states]
    found = module["backward"](x, *states, *[given[n] for n in names], np.ones_like(y), *zeros, cache)
    one.return_sequences = True
    wanted = tg.grad(one(x).sum(), one.weights)
    equal([found[f"d{name}"] for name in named], wanted, 1e-10)


class Overwriting:
    """An elementwise function that does not write over an argument through another view of the same memory."""

    def __init__(self, function: np.ufunc) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs, result = args[: self.function.nin], [*args[self.function.nin :], kwargs.get("out")][0]
        for a in inputs if isinstance(result, np.ndarray) and result.ndim else ():
            if isinstance(a, np.ndarray) and a.ctypes.data == result.ctypes.data:
                assert a is result or a.strides != result.strides, self.function
        return self.function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.function, name)


@every_cell
def test_what_is_written_over_is_the_same_array(name: str) -> None:
    """NumPy takes half as long again where the result is another view of the memory of an argument."""
    text, p = source_of(name)
    given, module = arguments(text, p), dict[str, Any]()
    if given is None:
        pytest.skip("its constants have other names than its weights")
    exec(tighten(text), module)
    module.update({n: Overwriting(f) for n, f in module.items() if isinstance(f, np.ufunc)})
    *values, cache = module["forward"](*given)
    module["backward"](*given, *[np.ones_like(v) for v in values], cache)


def test_an_equation_without_names_is_written_in_time() -> None:
    """Each use of an unnamed quantity doubles the text of what it is part of: 2**60 words here, of which 400 count."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        found = [x + states[0]]
        for _ in range(60):
            found.append(ops.tanh(found[-1]) * found[-1])
        return found[-1], [found[-1]]

    source = tg.bptt_source(step, np.ones((1, 2)), [np.ones((1, 2))])
    assert "…" in source


@pytest.mark.parametrize("value", [0, -np.inf])
def test_a_border_is_written_around_what_stays(value: float) -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        wide = ops.pad(states[0], ((0, 0), (2, 1)), constant_values=value)
        h = 0.5 * ops.maximum(wide[:, :-3], wide[:, 1:-2]) + ops.maximum(wide[:, 2:-1], wide[:, 3:]) + x
        return h, [h]

    x, h = np.random.default_rng(0).standard_normal((2, 4, 5)), np.ones((2, 5))
    text = tg.bptt_source(step, x[:, 0], [h])
    assert "np.pad(" not in text and "[:, 2:-1] = h" in text
    derived, unrolled = (tg.scan(step, x, [h], derive=d)[0].numpy() for d in (True, False))
    np.testing.assert_allclose(derived, unrolled, rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (5, 1, 130)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "int64", "bool"])
def test_memory_begins_at_multiples_of_64_bytes(shape: tuple[int, ...], dtype: str, rng: Any) -> None:
    text, _, _ = lstm_source(rng)
    module: dict[str, Any] = {}
    exec(compile(text, "<memory>", "exec"), module)
    made = [module["empty"](shape, np.dtype(dtype)) for _ in range(5)]
    assert all((a.shape, a.dtype) == (shape, dtype) for a in made)
    assert all(a.ctypes.data % 64 == 0 for a in made if a.size)
    for k, array in enumerate(made):
        array[...] = k
    assert [np.all(a == made[0].dtype.type(k)) for k, a in enumerate(made)] == [
        True
    ] * 5  # apart from each other
    cache = module["new_cache"](np.zeros((N, T, F)), np.zeros((N, H)))
    owners = {id(a.base): a.base for a in cache[0] if isinstance(a, np.ndarray) and a.base is not None}
    assert len(owners) > 3 and all(a.dtype == np.uint8 for a in owners.values())
