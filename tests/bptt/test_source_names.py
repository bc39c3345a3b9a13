"""The printed source as something to read: names of the user, one for each quantity, and nothing that nobody reads."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bptt.problems import every_cell
from bptt.test_source import LAYERS, functions, source_of

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt.step.tracer import HELPERS
from tinygrad_rnn.bptt.writing.reading import laid_out

N, H = 2, 4


def layer_source(kind: str) -> str:
    layer = LAYERS[kind][0]()
    layer(np.zeros((N, 5, 3)))
    return str(layer.bptt_source())


def step_source(step: Any, states: int = 1) -> str:
    zero = np.zeros((N, H))
    return str(tg.bptt_source(step, zero, [zero] * states))


def loop_of(text: str, function: str) -> list[str]:
    """The statements of a loop, without comments."""
    part = text.partition(f"def {function}(")[2].partition("# inside the loop")[2].partition("\n    #")[0]
    return [line.partition("  #")[0].strip() for line in part.splitlines()[2:] if line.strip()]


def stored(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def loaded(node: ast.AST) -> list[str]:
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]


def from_cache(function: ast.FunctionDef) -> set[str]:
    """The names that a function takes out of the cache."""
    taken = [
        n for n in function.body if isinstance(n, ast.Assign) and ast.unparse(n.value).startswith("cache[")
    ]
    assert len(taken) == 1
    return stored(taken[0])


# --- memory -----------------------------------------------------------------------------------------


@every_cell
def test_each_function_takes_out_what_it_reads(name: str) -> None:
    found = functions(source_of(name)[0])
    for function in (found["forward"], found["backward"]):
        names = from_cache(function)
        assert names and names <= set(loaded(function))


@every_cell
def test_nothing_is_made_that_nobody_reads(name: str) -> None:
    text, _ = source_of(name)
    cached = functions(text)["new_cache"]
    assert stored(cached) - {"N", "T", "_"} <= set(loaded(cached))
    views = re.findall(r"^    \w+ = (all_\w+\[.*|\w+\.reshape.*)$", text.partition("def new_cache")[2], re.M)
    assert len(set(views)) == len(views)
    assert not re.search(r"\[(:, )*:\]$", text, re.M)


def test_a_quantity_is_written_over_its_factor_under_its_own_name() -> None:
    text = layer_source("SimpleRNN")
    assert loop_of(text, "backward") == [
        "add(dy[t], dh, out=dh)",
        "multiply(dh, dz_by_dh[t], out=dz[t])",
        "dot(dz[t], recurrent_kernel_T, out=dh)",
    ]
    assert "\n    all_dz = all_dz_by_dh\n" in text


def test_what_arrives_from_the_next_step_is_told_apart_from_the_sum() -> None:
    statements = loop_of(layer_source("GRU"), "backward")
    assert statements[0] == "add(dy[t], dh_next, out=dh[t])"
    assert statements[-1] == "add(dh_next, dh_part, out=dh_next)"


# --- names ------------------------------------------------------------------------------------------


def equations(text: str) -> dict[str, str]:
    """The equations by number."""
    part = text.partition("One step:\n")[2].partition("\n\n")[0]
    return dict(re.findall(r"^    (\(\d+\)) (.*(?:\n {12}.*)*)$", part, re.M))


@every_cell
def test_equations_and_code_share_names(name: str) -> None:
    text, p = source_of(name)
    found, states = equations(text), re.findall(r"last (\w+)", text.partition("Returns")[2].partition(";")[0])
    assigned = [
        n for line in found.values() for n in line.partition(" = ")[0].split(", ") if n not in ("_", *states)
    ]
    assert len(set(assigned)) == len(assigned)
    arguments = [a.arg for a in functions(text)["forward"].args.args]
    assert not set(assigned) & set(arguments)
    numbers = set(re.findall(r"\(\d+\)", " ".join(re.findall(r"  # (.*)$", text, re.M))))
    assert numbers <= set(found)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU", "stacked"])
def test_every_statement_has_a_number(kind: str) -> None:
    text = layer_source(kind)
    for function in ("forward", "backward"):
        part = text.partition(f"def {function}(")[2].partition("# before the loop")[2].partition("return")[0]
        part = re.sub(r",\n +(?=out=)", ", ", part)
        statements = [line for line in part.splitlines()[1:] if re.match(r" +(?!for |#)\S.*[\])]", line)]
        assert len(statements) >= 3
        bare = [line for line in statements if not re.search(r"  # ∂?\(\d", line)]
        assert all(re.search(r"= np.zeros_like\(\w*bias\)$", line) for line in bare), bare


def test_the_gate_has_its_name_and_the_product_another() -> None:
    text = layer_source("GRU")
    assert equations(text)["(1)"] == "x_kernel = x @ kernel + bias[0]"
    assert {"z", "r", "n"} <= from_cache(functions(text)["forward"])
    assert not re.search(r"\b(all_)?[zrn]_\d", text)


def test_what_is_assigned_again_is_one_quantity() -> None:
    W = tg.Variable(np.eye(H), name="W")

    def step(x: Any, states: Any, constants: Any) -> Any:
        z = states[0] @ W
        z = z + x
        z = z * 2.0
        gate = ops.sigmoid(z)
        gate = gate * x
        return gate, [ops.tanh(z)]

    text = step_source(step)
    assert [line.partition(" = ")[0] for line in equations(text).values()] == ["z", "gate", "h"]
    assert equations(text)["(1)"] == "z = (h @ W + x) · 2"


def test_a_part_before_its_activation() -> None:
    W = tg.Variable(np.zeros((H, 2 * H)), name="W")

    def step(x: Any, states: Any, constants: Any) -> Any:
        f, g = ops.split(states[0] @ W, 2, axis=1)
        f = ops.sigmoid(f)
        h = f * x + ops.tanh(g)
        return h, [h]

    assert equations(step_source(step))["(1)"].startswith("pre_f, g = split")
    assert equations(step_source(step))["(2)"] == "f = sigmoid(pre_f)"


def test_a_function_that_is_called_twice_gives_numbered_names() -> None:
    W = tg.Variable(np.eye(H), name="W")

    def centre(x: Any) -> Any:
        mean = ops.mean(x, axis=1, keepdims=True)
        return x - mean

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(centre(x @ W) + centre(states[0] @ W))
        return h, [h]

    names = [line.partition(" = ")[0] for line in equations(step_source(step)).values()]
    assert names == ["x_W", "mean", "h_W", "mean_2", "h"]


def test_states_keep_the_numbers_of_the_user() -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        h1, h2 = states
        h1 = ops.tanh(h1 + x)
        h2 = ops.tanh(h2 + h1)
        return h2, [h1, h2]

    text = step_source(step, 2)
    assert [a.arg for a in functions(text)["forward"].args.args] == ["X", "h1_0", "h2_0", "cache"]
    assert equations(text) == {"(1)": "h1 = tanh(h1 + x)", "(2)": "h2 = tanh(h2 + h1)"}


def test_a_sum_of_more_than_a_product_and_a_bias_has_the_users_name() -> None:
    W, U = (tg.Variable(np.eye(H), name=name) for name in "WU")

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        for _ in range(2):
            z = (h @ U + 1.0) + x @ W
            h = ops.tanh(z)
        return h, [h]

    text = step_source(step)
    assert equations(text)["(1)"] == "z = h @ U + 1 + x @ W"


def test_gradients_of_parts_go_into_the_whole() -> None:
    text = layer_source("GRU").partition("def backward")[2]
    assert "dbias = np.zeros_like(bias)" in text and '"dbias": dbias,' in text
    assert re.search(r"dbias\[0\] \+= np\.", text) and re.search(r"dbias\[1\] \+= (sums|dweights)", text)


# --- layout -----------------------------------------------------------------------------------------


def test_numbers_of_equations_stand_in_one_column() -> None:
    text = laid_out("    add(a, b, out=c)  # (1)\n        exp(c, out=c)  # ∂(12), (2)\nx = 1  # one\n")
    first, second, third, _ = text.split("\n")
    assert first.index("#") == second.index("#") == 78 and third == "x = 1  # one"
    long = "y" * 100
    assert laid_out(f"{long}  # (1)") == f"{long}  # (1)"


def test_how_to_read_it_explains_names_that_are_there() -> None:
    """`dpre_f_dpre_i` is two gradients side by side, not that of `pre_f_dpre_i`."""
    functions = """def forward(X):
    add(all_dpre_f_dpre_i, all_dpre_i, out=a_name_as_long_as_this_spread)
    multiply(a_name_as_long_as_this, out=tmp)
"""
    text = laid_out(f'"""One step:\n    (1) i = sigmoid(x)\n"""\n{functions}')
    assert re.search("^    pre_i +what i is the activation of$", text, re.M) and "what f_" not in text
    assert re.search("^    a_name_as_long_as_this_spread\n +a_name_as_long_as_this once for each", text, re.M)


def test_long_equations_take_several_lines() -> None:
    terms = " + ".join(f"value_{k}" for k in range(20))
    lines = laid_out(f"    (10) y = {terms}").split("\n")
    assert len(lines) > 1 and max(map(len, lines)) <= 110
    assert " ".join(line.strip() for line in lines) == f"(10) y = {terms}"


@pytest.mark.parametrize("name", ["kernel", "recurrent_kernel", "the_weights_of_the_states"])
def test_the_notation_has_two_columns(name: str) -> None:
    """Of terms too long for the first one, the meaning stands below."""
    text = laid_out(
        f'"""Head.\n"""\ndef forward():\n    {name}_T[...] = {name}.T\n    dot(rows[t], {name}_T, out=z)'
    )
    lines = text.partition("How to read it:\n")[2].partition('\n"""')[0].split("\n")
    begun = {re.split(r"(?<=\S) +", line.strip())[0]: line for line in lines if not line.startswith(" " * 8)}
    assert list(begun) == ["rows[t]", f"{name}_T", "out="]
    column = begun["out="].index("where a result")
    assert begun["rows[t]"].index("side by side") == column
    turned = f"{name}.T in one piece"
    assert [line.index(turned) for line in lines if turned in line] == [column]


def test_loops_of_the_package_name_no_states() -> None:
    """Stacked cells are called in a loop over `item`s: the states have the names that the cells give them."""
    text = layer_source("stacked")
    assert " = sigmoid(f) · c + sigmoid(i) · tanh(g)\n" in text and not re.search(r"\bitem\b", text)


@pytest.mark.parametrize("batch", [8, 9, 10, 99])
def test_one_source_for_all_batch_sizes(batch: int) -> None:
    """Also where a larger batch has more digits: the source is laid out when it is printed."""
    W = tg.Variable(np.eye(3), name="W", dtype="float64")

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + states[0])
        return h @ W, [h]

    texts = [str(tg.bptt_source(step, np.zeros((n, 3)), [np.zeros((n, 3))])) for n in (4, batch)]
    assert texts[0] == texts[1] and "N, T = X.shape[:2]" in texts[0]
    assert re.search(r"^.{,76}T \* N.{,30}  # \(2\)$", texts[0], re.M)


def test_an_equation_tells_the_old_state_from_the_new_one_and_says_which_axis_is_turned() -> None:
    def step(x, states, constants):
        (n,) = states
        old = n
        n = tg.ops.flip(tg.ops.tanh(x + n), axis=-1)
        y = tg.ops.maximum(n, old)
        return y, [n]

    text = str(tg.bptt_source(step, np.ones((2, 4)), [np.ones((2, 4))]))
    assert "    (1) n = flip(tanh(x + n), axis=1)\n    (2) y = maximum(n, n[t])\n" in text


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU", "StackedRNNCells"])
def test_arguments_of_a_layers_source_are_its_weights_in_order(kind: str) -> None:
    """With as many features as units: a wrong order would give wrong numbers, not an error."""
    if kind == "StackedRNNCells":
        layer = tg.layers.RNN([tg.layers.GRUCell(4), tg.layers.LSTMCell(4)], return_sequences=True)
    else:
        layer = getattr(tg.layers, kind)(4, return_sequences=True)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    layer(x)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    wanted = layer(x).numpy()
    module: dict[str, Any] = {}
    exec(str(layer.bptt_source()), module)
    states = [np.zeros((3, 4), "float32")] * {"LSTM": 2, "StackedRNNCells": 3}.get(kind, 1)
    found = module["forward"](x, *states, *layer.get_weights())[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_states_of_stacked_cells_have_the_names_of_their_cells() -> None:
    """What only hands values on, as files of `layers` do, gives no names."""
    assert all(Path(file).exists() for file in HELPERS)
    layer = tg.layers.RNN([tg.layers.LSTMCell(3), tg.layers.GRUCell(2)])
    layer(np.ones((2, 4, 3), "float32"))
    assert "def forward(X, h0, c0, h_2_0," in layer.bptt_source()


def test_numbers_that_passes_multiply_are_as_short_as_those_of_the_step() -> None:
    """A damped oscillator: 0.042 · 2.7 is 0.11340000000000001, which float32 does not tell from 0.1134."""
    rng = np.random.default_rng(0)
    w, v = (tg.Variable(rng.standard_normal((3, 3)), dtype="float32", name=name) for name in "WV")

    def step(x: Any, s: Any, c: Any) -> Any:
        y, z = s
        z = z + 0.042 * (tg.ops.tanh(y @ w + x @ v) - 2.7 * y - 4.7 * z)
        y = y + 0.042 * z
        return y, [y, z]

    zeros = np.zeros((2, 3), "float32")
    text = tg.bptt_source(step, zeros, [zeros, zeros])
    assert not re.search(r"\d{8}", text)
    assert "minus_0_1134 = np.asarray(-0.1134, dtype)" in text
    assert "multiply(dz, minus_0_1134, out=dy_part_2)" in loop_of(text, "backward")
