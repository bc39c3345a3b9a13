"""The equations of the backward pass in a printed source: what they say is what its statements compute."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import pytest
from bptt.problems import every_cell
from bptt.test_source import arguments, source_of

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.bptt.step.body import Value
from tinygrad_rnn.bptt.writing.backwards import HEADING, _Backwards

N, H = 2, 4
COPIES = "{k: [*map(np.copy, v)] if isinstance(v, list) else np.copy(v) for k, v in locals().items() if k != 'cache'}"
SIGNS = {"²": " ** 2", "·": "*", "−": "-", "≥": ">=", "≤": "<=", "≠": "!="}


def equations(text: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Names and what they are: in the loop, and before it."""
    block = text.partition(f"\n{HEADING}\n")[2].partition("\n\n")[0]
    block = re.sub(r"\n {12}\s*", " ", block)  # long lines are wrapped
    parts = block.partition("    with, before the loop:\n")[::2]
    form = re.compile(r"^ {4}(?:and for the step before,| {4}|[∂(),\d ]+) ([\w, ]+) = (.*)$", re.M)
    found = [form.findall(part) for part in parts]
    assert sum(map(len, found)) == sum(len(part.splitlines()) for part in parts)
    return found[0], found[1]


def together(*parts: Any, axis: int = -1) -> Any:
    return np.concatenate(parts, axis)


KNOWN = {**vars(ops), "concatenate": together, "stack": lambda *parts, axis=0: np.stack(parts, axis)}
KNOWN |= {"vecdot": lambda a, b: np.vecdot(a, b)[..., None], "cumsum": functools.partial(np.cumsum, axis=-1)}
SHAPED = re.compile(
    r"\b(reshape|split|unstack|put_back|scatter_add|cast)\("
)  # their shapes and types are not shown


def evaluated(text: str, values: dict[str, Any]) -> Any:
    """The right side of an equation; `h[t]` is the state before the step."""
    text = re.sub(r"\b(\w+)\[t\]", r"before_\1", text)
    text = re.sub(r"\b(\w+)\(", r"op_\1(", text)  # a quantity may have the name of an op
    for sign, python in SIGNS.items():
        text = text.replace(sign, python)
    known = {f"op_{name}": function for name, function in KNOWN.items()}
    with np.errstate(all="ignore"):
        try:
            return eval(text, {**known, **values})
        except ValueError:  # the axes that stay are not shown
            return eval(text, {**known, "op_sum": functools.partial(ops.sum, keepdims=True), **values})


def run(text: str, given: list[Any], marks: dict[str, str]) -> Any:
    """What `backward` returns that has `marks` before lines of its own."""
    head, name, backward = text.partition("\ndef backward(")
    for line, statement in marks.items():
        indent = re.search(rf"^( *){re.escape(line)}", backward, re.M)
        assert indent, line
        backward = backward.replace(f"{indent[1]}{line}", f"{indent[1]}{statement}\n{indent[1]}{line}", 1)
    module: dict[str, Any] = {}
    exec(head + name + backward, module)
    with np.errstate(all="ignore"):
        *results, cache = module["forward"](*given)
        rng = np.random.default_rng(1)
        cotangents = [rng.standard_normal(r.shape).astype(r.dtype) for r in results]
        return module["backward"](*given, *cotangents, cache)


def at(t: int, steps: int, found: dict[str, Any]) -> dict[str, Any]:
    """The quantities of a step among the variables of the function."""
    values = {name: a for name, a in found.items() if not (name.startswith("all_") or isinstance(a, list))}
    for name, a in found.items():
        if name.startswith("all_") or isinstance(a, list):
            shown, long = name.removeprefix("all_"), len(a) == steps + 1
            values[shown] = a[t + long]
            if long:
                values[f"before_{shown}"] = a[t]
    return values


def close(found: Any, wanted: Any, what: str) -> None:
    np.testing.assert_allclose(
        np.broadcast_to(found, np.shape(wanted)), wanted, rtol=1e-9, atol=1e-12, err_msg=what
    )


def check_factors(text: str, given: list[Any], factors: list[tuple[str, str]]) -> None:
    """At each step, with all that was saved before the factors were computed."""
    steps = given[0].shape[1]
    marks = {"# before the loop": f"saved_ = {COPIES}", "# inside the loop": "return saved_, locals()"}
    saved, computed = run(text, given, marks)
    for t in range(steps):
        values, wanted = at(t, steps, saved), at(t, steps, computed)
        for name, right in factors:
            close(evaluated(right, values), wanted[name], f"step {t}: {name} = {right}")
            values[name] = wanted[name]


def check_loop(text: str, given: list[Any], loop: list[tuple[str, str]]) -> None:
    """The last step, one equation after the other: what the step before gets."""
    steps = given[0].shape[1]
    head = next(line for line in text.split("\n") if line.startswith("    for t in range(T - 1"))
    first = text.partition("\ndef backward(")[2].partition(head)[2].split("\n")[1].strip()
    one = text.replace(head, "    for t in [T - 1]:")
    before, after = run(
        one, given, {first: f"before_ = {COPIES}", "# after the loop": "return before_, locals()"}
    )
    values, wanted = at(steps - 1, steps, before), at(steps - 1, steps, after)
    for name, right in loop:
        found = evaluated(right, values)
        values |= zip(name.split(", "), found, strict=True) if ", " in name else {name: found}
    sent = re.findall(r'^        "d\w+": (\w+)\.copy\(\),$', text, re.M)
    assert sent
    for name in sent:
        close(values[name], wanted[name], name)


@every_cell
def test_the_equations_are_what_the_statements_compute(name: str) -> None:
    text, p = source_of(name)
    given = arguments(text, p)
    loop, factors = equations(text)
    if given is None or not loop or SHAPED.search(str((loop, factors))):
        pytest.skip(
            "constants with other names than its weights, ops whose shapes are not shown, or nothing in the loop"
        )
    if factors:
        check_factors(text, given, factors)
    check_loop(text, given, loop)


def of_layer(layer: Any) -> str:
    layer(np.zeros((N, 2, 3)))
    return str(layer.bptt_source())


def test_those_of_the_vanilla_rnn_are_the_hand_derivation() -> None:
    loop, factors = equations(of_layer(layers.SimpleRNN(4)))
    assert loop == [("dh", "dy + dh"), ("dz", "dh · dz_by_dh"), ("dh", "dz @ recurrent_kernel.T")]
    assert factors == [("dz_by_dh", "1 − h²")]


def test_those_of_the_lstm_are_the_hand_derivation() -> None:
    loop, factors = map(dict, equations(of_layer(layers.LSTM(4))))
    assert loop == {
        "dc": "dc · sigmoid_f", "di": "dc · di_by_dc", "df": "dc · df_by_dc", "dg": "dc · dg_by_dc",
        "do": "dh · do_by_dh", "dz": "concatenate(di, df, dg, do)", "dh": "dz @ recurrent_kernel.T",
    }  # fmt: skip
    assert factors == {
        "dc_by_dh": "sigmoid_o − h · tanh_c",
        "do_by_dh": "h − h · sigmoid_o",
        "di_by_dc": "sigmoid_i · tanh_g − sigmoid_i · tanh_g · sigmoid_i",
        "df_by_dc": "c[t] · sigmoid_f − c[t] · sigmoid_f²",
        "dg_by_dc": "sigmoid_i − sigmoid_i · tanh_g²",
    }


def test_names_in_them_are_explained_all_the_same() -> None:
    text = of_layer(layers.LSTM(4))
    assert "the factor of dh in dc" in text and "one of the terms of dc" in text


def test_a_step_that_changes_is_written_down_before_it_changes() -> None:
    """`dh` is read by what is written out at the end: only as long as it is what it was."""
    loop, _ = equations(source_of("overwrites")[0])
    names = [name for name, _ in loop]
    assert names.index("dz") < names.index("dh")


def test_too_many_are_left_out() -> None:
    W = tg.Variable(np.eye(H), dtype="float64", name="W")

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        for _ in range(40):
            h = ops.tanh(h @ W + x)
        return h, [h]

    assert HEADING not in tg.bptt_source(step, np.zeros((N, H)), [np.zeros((N, H))])


def test_squares_are_those_of_one_factor() -> None:
    a, b = (Value("x", (), {}, (2,), np.dtype(float), label=name) for name in "ab")

    def times(x: Value, y: Value) -> Value:
        return Value("multiply", (x, y), {}, (2,), np.dtype(float))

    writer = object.__new__(_Backwards)
    writer.targets, writer.known = {a: "a", b: "b"}, {}
    product = times(a, b)
    written = {"a²": times(a, a), "a · b²": times(product, b), "(a · b)²": times(product, times(a, b))}
    written |= {
        "b · a · b · (a · b)": times(times(times(b, a), b), product),
        "a · (a · b)": times(a, product),
    }
    assert {text: writer.whole(v) for text, v in written.items()} == {text: text for text in written}
