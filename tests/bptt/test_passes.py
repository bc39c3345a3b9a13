"""The passes of derived mode: each can be switched off, all off gives the engine's bits, and `explain` counts them."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from bptt.problems import FUNCTIONS, Result, close, every_cell, is_derived, problem

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt.explain import calls_in_loops
from tinygrad_rnn.bptt.passes import PASSES
from tinygrad_rnn.config import mode
from tinygrad_rnn.ops import nn


@every_cell
def test_each_pass_can_be_switched_off(name: str) -> None:
    """Each with every third cell: that a plan equals the recorded steps is tried when it is made, too."""
    unrolled = Result(problem(name, 2, 3), derive=False).everything()
    for off in [*list(PASSES)[sorted(FUNCTIONS).index(name) % 3 :: 3], None]:
        with tg.bptt.without(*[off] if off else []):
            derived = Result(problem(name, 2, 3), derive=True)
            assert any(is_derived(v) for v in derived.values)
            close(derived.everything(), unrolled)


OTHER_ORDER = {
    "same_output_twice": "one tensor is two outputs: their gradients meet before the last step, not in it",
    "twin_states": "one tensor is two states: their gradients meet before the last step, not in it",
    "products_and_what_reads_the_states": "the last but one output is the last third state: they meet first",
    "loss_in_the_step": "while a step is traced, labels are rows of an identity matrix",
    "products_of_a_state_kept_twice": "the same, in a step with a sum of products",
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - OTHER_ORDER.keys()))
def test_all_passes_off_is_bit_for_bit_the_same(name: str) -> None:
    with tg.bptt.without():
        derived = Result(problem(name), derive=True).everything()
        unrolled = Result(problem(name), derive=False).everything()
    for i, (a, b) in enumerate(zip(derived, unrolled, strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"number {i}")


FORMULAS: dict[str, tuple[Any, str]] = {  # of their own, by type or number; and what of them the source says
    "erf": (tg.ops.erf, "polyval"),
    "third power": (lambda x: tg.ops.tanh(x**3), r"multiply\((\S+) \* \1, \1, "),
    "fourth power": (lambda x: tg.ops.tanh(x**4), r"multiply\((\S+), \1, "),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_all_passes_off_is_bit_for_bit_the_same_where_there_is_a_formula(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    U = tg.tensor(rng.standard_normal((40, 40)) / 5, dtype, requires_grad=True)
    function, shown = FORMULAS[name]

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = function(x + states[0] @ U)
        return h, [h]

    x, h0 = rng.standard_normal((30, 4, 40)).astype(dtype), np.zeros((30, 40), dtype)
    found = []
    with tg.bptt.without():
        for derive in (True, False):
            y, _ = tg.scan(step, x, [h0], derive=derive)
            found.append((y.numpy(), *[g.numpy() for g in tg.grad((y * y).sum(), [U])]))
        text = str(tg.bptt_source(step, x[:, 0], [h0]))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    assert bool(re.search(shown, text)) is (name != "erf" or dtype != "float64")


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_a_softmax_of_many_numbers_has_the_bits_of_the_recorded_one(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which leaves maxima out, if the numbers are moderate."""
    monkeypatch.setattr(nn, "MANY", 1000)

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.softmax(scale * (x + states[0]))
        return h, [h]

    x, h0 = np.random.default_rng(0).standard_normal((30, 4, 40)), np.zeros((30, 40))
    with tg.bptt.without():
        found = [tg.scan(step, x, [h0], derive=derive)[0].numpy() for derive in (True, False)]
        assert "top = 0.0 if np.abs(" in str(tg.bptt_source(step, x[:, 0], [h0]))
    assert np.array_equal(*found)
    monkeypatch.setattr(nn, "MANY", 2000)
    np.testing.assert_allclose(found[0], tg.scan(step, x, [h0])[0], rtol=1e-12)


def test_without_takes_names_of_passes() -> None:
    with tg.bptt.without("hoist"):
        need = {
            "regroup",
            "gather",
            "factors",
            "terms",
            "rows",
            "merge",
            "fold",
            "strips",
            "turned",
            "spread",
        }
        assert mode().passes == {"hoist", *need}
    with tg.bptt.without("sums", "defer"):
        assert mode().passes == {"sums", "defer"}
    with tg.bptt.without():
        assert mode().passes == {*PASSES, "native"}
    assert not mode().passes
    with pytest.raises(
        ValueError,
        match="without: unknown pass 'hoists'; there are share, powers, einsum, regroup, center, sums, gather, lerp",
    ):
        tg.bptt.without("hoist", "hoists")


def counts(text: str) -> dict[str, list[int]]:
    """Forward before and after, backward before and after, for every line of `explain`."""
    pattern = r"^(.+?) +(\d+) -> (\d+) +(\d+) -> (\d+)(?:   .+)?$"
    found = [re.fullmatch(pattern, line) for line in text.partition("\n\n")[0].splitlines()[1:]]
    assert all(found)
    return {m[1]: [int(n) for n in m.groups()[1:]] for m in found if m}


def test_explain_says_what_every_pass_does_to_an_lstm() -> None:
    layer = tg.layers.LSTM(4)
    x = np.zeros((2, 3), "float32")
    text = tg.explain(layer, x, layer.get_initial_state(2))
    first = text.splitlines()[0]
    assert re.fullmatch(r"pass +forward +backward   calls inside the loop", first)
    rows = counts(text)
    assert list(rows) == ["(the step as it is)", *PASSES]
    for before, after in zip(list(rows.values()), list(rows.values())[1:], strict=False):
        assert after[0::2] == before[1::2]  # each begins where the one before ended
    for forward, forward_after, backward, backward_after in rows.values():
        assert forward_after <= forward and backward_after <= backward
    start, end = rows["(the step as it is)"], rows["fold"]
    assert end[1] <= start[0] / 2 and end[3] < start[2] / 3  # 10 of 22; one less where tanh is fast
    assert tg.explain(layer, x, layer.get_initial_state(2)) == text
    printed = calls_in_loops(tg.bptt_source(layer, x, layer.get_initial_state(2)))
    assert [*printed] == list(rows.values())[-1][1::2]
    off = ("merge", "fold", "joins")
    with tg.bptt.without(*off):
        found = list(counts(tg.explain(layer, x, layer.get_initial_state(2))))
    assert found == ["(the step as it is)", *[name for name in PASSES if name not in off]]


def backward_of(name: str, *off: str) -> str:
    """The derived backward pass of a cell, without some passes."""
    with tg.bptt.without(*off) if off else nullcontext():
        p = problem(name, 2, 3)
        return str(tg.bptt_source(p.step, p.xs[0][:, 0], p.states, p.constants).partition("def backward(")[2])


def forward_of(step: object, width: int, *off: str) -> str:
    """The derived forward pass of a step of one state, without some passes."""
    with tg.bptt.without(*off) if off else nullcontext():
        text = str(tg.bptt_source(step, np.ones((2, width), "float32"), [np.ones((2, 4), "float32")]))
    return text.partition("def backward(")[0]


def loop_of(text: str) -> list[str]:
    """The statements inside the loop."""
    inside = re.split(r"for t in range\(.*\):\n", text)[1].partition("\n\n")[0]
    return [line.partition("  #")[0].strip() for line in inside.splitlines()]


def test_gates_of_products_of_their_own_are_activated_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_rnn.bptt.passes.gates._has_fast_tanh", lambda: True)
    p = problem("gates_of_states_of_their_own", 2, 3, "float32")
    loop = loop_of(p.composed())
    assert [line.partition("(")[0] for line in loop if "tanh(" in line] == [
        "tanh"
    ] * 2  # of all gates, and of c
    assert len(loop_of(p.composed("fold"))) >= len(loop) + 4


def test_terms_leave_one_carry_and_one_product_for_a_state_that_comes_in_several() -> None:
    loop, before = loop_of(backward_of("peephole")), loop_of(backward_of("peephole", "terms"))
    onto = [line for line in loop if line.endswith("out=dcell)")]
    assert len(onto) == 2  # what the output sends is added, then all ways to the state before are one factor
    assert "dcell_by_dcell[t]" in onto[1]
    assert len(before) >= len(loop) + 4  # two more carries, each multiplied and added


def test_dots_contract_sums_of_products() -> None:
    text, before = backward_of("layer_norm_lstm"), backward_of("layer_norm_lstm", "dots")
    assert "np.vecdot(" in text and "np.vecdot(" not in before
    assert len(loop_of(text)) < len(loop_of(before))
    assert not re.search(r"negative\(.*\n.*np\.add\.reduce", text)


def test_defer_takes_sums_of_stacked_products_out_of_the_loop() -> None:
    text = backward_of("attention_by_matmul")
    for beside, stacked in (("beside", "stacked"), ("beside_2", "stacked_2")):
        assert f"np.matmul({beside}, {stacked})" in text
    assert "beside" not in "\n".join(loop_of(text))


def test_a_test_is_a_factor_without_a_choice() -> None:
    assert "np.where" not in backward_of("ind_rnn")


def test_a_factor_made_of_tests_and_numbers_is_a_float() -> None:
    """Also beside states that count, of which there are so many here that one is met first."""

    def step(x: Any, s: Any, constants: Any) -> Any:
        h, *counts = s
        h = ops.where(counts[0] > 1, 0.5 * h, ops.tanh(x + h))
        return h, [h, *[n + 1 for n in counts]]

    found = []
    for derive in (True, False):
        h0 = tg.tensor(np.ones((2, 3)), requires_grad=True)
        states = [h0, *[np.zeros((2, 1), np.int64) for _ in range(60)]]
        y, _ = tg.scan(step, np.ones((2, 5, 3)), states, derive=derive)
        found.append([y, *tg.grad(y.sum(), [h0])])
    close(*found)


def test_weights_alone_need_no_factors() -> None:
    text = backward_of("peephole")
    assert re.search(r"dpo = .*\(.*all_do\w*, all_cell\[1:\]\)", text)  # the sum of do * c, as by hand


@pytest.mark.parametrize(
    "shape, contracted",
    [((5,), "tni,tni->i"), ((1, 5), "tni,tni->i"), ((1, 1), ""), ((3, 5), "")],
    ids=["one for each unit", "with an axis of one", "one for all", "one for each example"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_defer_contracts_products_that_add_up(shape: tuple[int, ...], contracted: str, dtype: str) -> None:
    """`Σ_t Σ_n dz · h`: the gradient of a factor of every unit, of the shape of which it is."""
    u = tg.Variable(np.full(shape, 0.5, dtype), name="u")
    rng = np.random.default_rng(1)
    x, h0 = rng.normal(size=(3, 4, 5)).astype(dtype), rng.normal(size=(3, 5)).astype(dtype)

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + u * states[0])
        return h, [h]

    text = str(tg.bptt_source(step, x[:, 0], [h0])).partition("def backward(")[2]
    assert contracted in text and ("np.einsum(" in text) is (contracted != "")
    with tg.bptt.without("defer"):
        assert "np.einsum(" not in str(tg.bptt_source(step, x[:, 0], [h0]))
    found = []
    for derive in (True, False):
        y, _ = tg.scan(step, x, [h0], derive=derive)
        (du,) = tg.grad((y * y).sum(), [u])
        assert du.shape == shape and du.dtype == dtype
        found.append([du])
    close(*found, rtol=1e-12 if dtype == "float64" else 1e-5)


def test_contractions_for_parts_of_one_weight() -> None:
    """Each is added to its place in the gradient of the whole, as of peepholes that stand in one vector."""
    p = tg.Variable(np.linspace(0.1, 1.0, 10), name="p")

    def step(x: Any, states: Any, constants: Any) -> Any:
        h, c = states
        c = ops.sigmoid(p[:5] * c) * c + ops.tanh(x)
        h = ops.sigmoid(p[5:] * c)
        return h, [h, c]

    x, h0 = np.random.default_rng(1).normal(size=(3, 4, 5)), np.ones((3, 5))
    text = str(tg.bptt_source(step, x[:, 0], [h0, h0]))
    assert "dp[:5] += np.einsum(" in text and "dp[5:] += np.einsum(" in text
    found = []
    for derive in (True, False):
        y, _ = tg.scan(step, x, [h0, h0], derive=derive)
        found.append(tg.grad((y * y).sum(), [p]))
    close(*found)


def test_a_product_that_is_read_elsewhere_is_not_contracted() -> None:
    """Both sums read `dz · h`, which is computed once."""
    u, v = (tg.Variable(np.full(5, 0.5), name=name) for name in "uv")

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + (u + v) * states[0])
        return h, [h]

    x, h0 = np.ones((3, 4, 5)), np.ones((3, 5))
    found = []
    for derive in (True, False):
        y, _ = tg.scan(step, x, [h0], derive=derive)
        found.append(tg.grad((y * y).sum(), [u, v]))
    close(*found)


@pytest.mark.parametrize("name", ["ind_rnn", "minimal_gated", "gru_after", "lstm"])
def test_carries_are_written_without_copies(name: str) -> None:
    assert not any("[...] =" in line for line in loop_of(backward_of(name)))


@pytest.mark.parametrize("name", ["minimal_gated", "peephole"])
@pytest.mark.parametrize("fast_tanh", [False, True])
def test_a_lone_gate_has_its_sign_in_the_weights(
    name: str, fast_tanh: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in those of its peephole. In float64 whatever the processor does well in float32."""
    monkeypatch.setattr("tinygrad_rnn.bptt.passes.gates._has_fast_tanh", lambda: fast_tanh)
    p = problem(name, 2, 3)
    text = str(tg.bptt_source(p.step, p.xs[0][:, 0], p.states, p.constants))
    assert "minus_one" not in text.partition("def backward(")[0]
    with tg.bptt.without("fold"):
        text = str(tg.bptt_source(p.step, p.xs[0][:, 0], p.states, p.constants))
        assert "minus_one" in text.partition("def backward(")[0]


MEANS = {
    "the complement last": lambda a, x, y: a * x + (1 - a) * y,
    "the complement first": lambda a, x, y: (1.0 - a) * y + a * x,
    "factors last": lambda a, x, y: x * a + y * (1 - a),
    "by turns": lambda a, x, y: y * (1 - a) + a * x,
}


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("of", [lambda h, n: (h, n), lambda h, n: (n, h)], ids=["state kept", "state left"])
def test_lerp_goes_from_one_value_towards_the_other(mean: str, of: Any) -> None:
    def step(x, states, constants):
        (h,) = states
        a, n = tg.ops.sigmoid(x + h), tg.ops.tanh(x * h)
        h = MEANS[mean](a, *of(h, n))
        return h, [h]

    loop, before = loop_of(forward_of(step, 4)), loop_of(forward_of(step, 4, "lerp"))
    assert len(loop) == len(before) - 1
    assert sum(line.startswith("subtract(one") for line in before) == 1
    assert not any(line.startswith("subtract(one") for line in loop)
    x = np.random.default_rng(0).normal(size=(2, 7, 4))
    outputs = {}
    for derive in (True, False):
        h = tg.tensor(np.full((2, 4), 0.5), dtype="float64", requires_grad=True)
        y, _ = tg.scan(step, tg.tensor(x, dtype="float64"), [h], derive=derive)
        (y * y).sum().backward()
        outputs[derive] = y.numpy(), h.grad
    for derived, unrolled in zip(outputs[True], outputs[False], strict=True):
        np.testing.assert_allclose(derived, unrolled, rtol=1e-12)


@pytest.mark.parametrize(
    "last",
    [
        lambda a, h, n: (lambda b: a * h + b * n + b)(1 - a),
        lambda a, h, n: a * h + (2 - a) * n,
        lambda a, h, n: a * h + (1 - n) * n,
        lambda a, h, n: a * h - (1 - a) * n,
        lambda a, h, n: a * h + (1 - a) * 0.5,
        lambda a, h, n: a * h + (1 - a) * n[:, :1],
    ],
    ids=["complement needed", "not from 1", "another gate", "difference", "a number", "a column"],
)
def test_lerp_leaves_other_sums_alone(last: Any) -> None:
    def step(x, states, constants):
        (h,) = states
        h = last(tg.ops.sigmoid(x + h), h, tg.ops.tanh(x * h))
        return h, [h]

    assert forward_of(step, 4) == forward_of(step, 4, "lerp")


def gru_source(*off: str) -> tuple[str, str]:
    """The source of a GRU up to its backward pass, and from there on."""
    layer = tg.layers.GRU(4)
    x = np.ones((2, 3, 5), "float32")
    layer(x)
    with tg.bptt.without(*off) if off else nullcontext():
        forward, _, backward = str(layer.bptt_source()).partition("def backward(")
    return forward, backward


@pytest.mark.parametrize("fast_tanh", [False, True])
def test_gates_of_two_sums_are_activated_in_blocks_with_their_factor_in_the_weights(
    fast_tanh: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`split(sigmoid(x_gates + u_gates))`, both of them columns of a product that holds more."""
    monkeypatch.setattr("tinygrad_rnn.bptt.passes.gates._has_fast_tanh", lambda: fast_tanh)
    forward, rest = gru_source()
    scale = "0.5" if fast_tanh else "-1.0"
    for weight in ("weights", "weights_2"):  # the columns of the candidate stay as they are
        assert re.search(rf"np.multiply\({weight}\[..., 0:8\], {scale}, out=(\w+)\[..., 0:8\]\)", forward)
        assert re.search(rf"\w+\[..., 8:12\] = {weight}\[..., 8:12\]", forward)
    loop, before = loop_of(forward), loop_of(gru_source("fold")[0])
    assert len(loop) == len(before) - 1  # no multiply(tmp, minus_one), no multiply(tmp, half)
    assert re.search(r"all_z = all_z_r\[:, 0\]", rest)  # a gate is one piece of memory
    layer = tg.layers.GRU(4, return_sequences=True)
    for shape in ((2, 3, 5), (3, 4, 5)):
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        with tg.derived():
            found = layer(x).numpy()
        np.testing.assert_allclose(found, layer(x).numpy(), rtol=1e-5, atol=1e-6)


def test_pieces_uses_gradients_where_they_stand() -> None:
    _, backward = gru_source()
    _, before = gru_source("pieces")
    copies = r"^ +all_\w+\[.*\] = all_d\w+ +#"
    assert re.search(copies, before, re.M) and not re.search(copies, backward, re.M)
    assert re.search(r"dkernel = np.concatenate\(\(\w+, dweights\w*\[1:6\]\), axis=1\)", backward)
    assert re.search(r"np.matmul\(all_\w+.reshape\(T \* N, 8\), kernel.T\[0:8\], ", backward)
    assert not re.search("np.add.reduce|np.ones", backward)  # the sums are those of 1 in the rows


def test_joined_gradients_take_the_memory_of_what_only_the_forward_pass_reads() -> None:
    _, rest = gru_source()
    assert "all_du = all_x_kernel" in rest  # x @ kernel + bias is read in the forward loop only
    layer = tg.layers.GRU(4, return_sequences=True)
    x = tg.tensor(np.random.default_rng(0).normal(size=(2, 3, 5)), dtype="float32", requires_grad=True)
    with tg.derived():
        loss = (layer(x) ** 2).sum()
    first = tg.grad(loss, x, retain_graph=True).numpy()
    np.testing.assert_array_equal(tg.grad(loss, x).numpy(), first)
    np.testing.assert_allclose(first, tg.grad((layer(x) ** 2).sum(), x).numpy(), rtol=1e-4, atol=1e-6)


def test_slopes_take_the_memory_of_what_only_the_forward_pass_reads() -> None:
    """Of an RNN, whose gates are not joined; a second backward pass finds all that the first one found."""
    layer = tg.layers.SimpleRNN(4, return_sequences=True)
    x = tg.tensor(np.random.default_rng(0).normal(size=(2, 3, 5)), dtype="float32", requires_grad=True)
    layer(x)
    with tg.bptt.without("rows"):
        text = str(tg.bptt_source(layer, x[:, 0], layer.get_initial_state(2)))
        assert "all_dz_by_dh = all_z\n" in text
        with tg.derived():
            loss = (layer(x) ** 2).sum()
    first = tg.grad(loss, x, retain_graph=True).numpy()
    np.testing.assert_array_equal(tg.grad(loss, x).numpy(), first)
    np.testing.assert_allclose(first, tg.grad((layer(x) ** 2).sum(), x).numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [tg.layers.SimpleRNN, tg.layers.LSTM])
def test_gradients_of_inputs_are_no_memory(make: Any) -> None:
    """They are computed into an array that is given away, and not copied out of one that is kept."""
    layer = make(4, return_sequences=True)
    x = tg.tensor(np.random.default_rng(0).normal(size=(2, 3, 5)), dtype="float32", requires_grad=True)
    layer(x)
    _, backward, cache = re.split("def backward|def new_cache", str(tg.bptt_source(layer)))
    assert ".reshape(T, N, 5)" in backward and '"dX": all_dx.swapaxes(0, 1)' in backward
    assert "dx" not in cache
    with tg.derived():
        first = tg.grad((layer(x) ** 2).sum(), x)
        before = first.numpy().copy()
        second = tg.grad((layer(2 * x) ** 2).sum(), x)
    np.testing.assert_array_equal(first.numpy(), before)
    assert not np.array_equal(second.numpy(), before)
    np.testing.assert_allclose(first, tg.grad((layer(x) ** 2).sum(), x).numpy(), rtol=1e-4, atol=1e-6)


def test_share_computes_once_what_is_written_twice() -> None:
    first, second = np.array([0, 3, 3]), np.array([0, 3, 2])

    def step(x, states, constants):
        (h,) = states
        a = tg.ops.tanh(h + x) * tg.ops.exp(h + x - 1.0)
        b = (x * 0.0 - x * -0.0)[:, :4] + tg.ops.sin(h)[:, :2].sum() + tg.ops.sin(h)[:, 2:].sum()
        c = h[:, first].sum(axis=1, keepdims=True)
        d = h[:, second].sum(axis=1, keepdims=True)
        h = tg.ops.tanh(a + b + 1e-3 * (c - d))
        return h, [h]

    loop, before = loop_of(forward_of(step, 4)), loop_of(forward_of(step, 4, "share"))
    assert sum(line.startswith("add(x[t], h[t]") or line.startswith("add(h[t], x[t]") for line in before) == 2
    assert len(loop) == len(before) - 2  # the sum, and the sine
    assert sum("np.array(" in line for line in loop) == 2
    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    found = []
    for derive in (True, False):
        h = tg.tensor(np.full((2, 4), 0.3), dtype="float64", requires_grad=True)
        y, _ = tg.scan(step, tg.tensor(x, dtype="float64"), [h], derive=derive)
        (y * y).sum().backward()
        found.append((y.numpy(), h.grad))
    for derived, unrolled in zip(*found, strict=True):
        np.testing.assert_allclose(derived, unrolled, rtol=1e-11)


@pytest.mark.parametrize(
    ("statement", "calls"),
    [
        ("np.matmul(M[t].reshape(N * 2 * 3, 4), U, out=y.reshape(N * 2 * 3, 4))", 1),
        ("top = np.maximum.reduce(y, axis=1, keepdims=True, initial=-np.inf)", 1),
        ("divide(y, np.add.reduce(y, axis=1), out=y)", 2),
        ("y[t][...] = -x[t] * np.exp(x[t] + b).reshape(N * 2, 3)", 5),
    ],
)
def test_only_what_numpy_does_is_counted(statement: str, calls: int) -> None:
    """Not sizes, numbers and names."""
    assert calls_in_loops(f"def forward():\n    for t in range(T):\n        {statement}") == (calls, 0)
