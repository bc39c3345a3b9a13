"""What a name in a printed source stands for: the user's quantity, or what it says of it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from bptt.test_source_names import equations, loop_of

import tinygrad_rnn as tg
from tinygrad_rnn import ops

N, F, H = 2, 3, 4


def weight(name: str, *shape: int) -> tg.Variable:
    return tg.Variable(np.zeros(shape), name=name, dtype="float64")


def source(step: Any, *states: tuple[int, ...], constants: Any = ()) -> str:
    """For `F` inputs, and one state of `H` units if nothing else is said."""
    return str(
        tg.bptt_source(step, np.zeros((N, F)), [np.zeros((N, *s)) for s in states or [(H,)]], constants)
    )


def test_a_part_has_its_name_if_that_of_the_whole_ends_like_it() -> None:
    W, U = weight("W", F, 2 * H), weight("U", H, 2 * H)

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        zr = ops.sigmoid(x @ W + h @ U)
        z, r = zr[:, :H], zr[:, H:]
        h = z * h + ops.tanh(r * h)
        return h, [h]

    text = source(step)
    assert equations(text)["(3)"] == "r = zr[:, 4:]" and "zr_view" not in text
    assert "multiply(r[t], h[t]," in " ".join(loop_of(text, "forward"))


def meaning(text: str) -> dict[str, str]:
    """The explanations of how to read a source."""
    part = text.partition("How to read it:\n")[2].partition('\n"""')[0]
    return dict(re.findall(r"^    (\S+) +(.*)$", part, re.M))


def of_gates() -> str:
    """The source of a cell with a product for each of two gates."""
    weights = [weight(n, F, H) for n in ("Wi", "Wg")] + [weight(n, H, H) for n in ("Ui", "Ug")]

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        i = ops.sigmoid(x @ weights[0] + h @ weights[2])
        g = ops.tanh(x @ weights[1] + h @ weights[3])
        h = i * g + h
        return h, [h]

    with tg.bptt.without("gather"):  # which makes one product of both
        return source(step)


def test_a_gradient_of_stacked_weights_has_their_name() -> None:
    text = of_gates()
    stacked = dict(re.findall(r"np\.concatenate\(\(U\w, W(\w)\), axis=0, out=(weights\w*)\)", text))
    gradients = dict(re.findall(r'"dW(\w)": d(weights\w*)\[', text))
    assert len(stacked) == 2 and gradients == stacked


def test_folded_weights_have_the_name_of_the_weights() -> None:
    gru = tg.layers.GRU(H)
    gru(np.zeros((N, 2, F)))
    for text in (of_gates(), str(gru.bptt_source())):
        found = re.findall(r"multiply\((\w+(?:\[\d\])?).*, -?[\d.]+, out=(\w+)_folded", text)
        assert found and all(re.sub(r"\[(\d)\]", r"_\1", of) == name for of, name in found)


def test_words_of_the_notation_are_the_users_where_a_user_has_them() -> None:
    W, U = weight("W", F, H), weight("U", H, H)

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        rows = x @ W  # goes into the product with U
        weights = ops.sigmoid(rows + h @ U)
        columns = ops.tanh(weights * 2.0)
        dh_part = weights * columns
        h = h * weights + dh_part
        return h, [h]

    text = source(step)
    assert list(meaning(text))[:3] == ["all_x", "rows_2[t]", "weights_2"]
    assert {"weights", "columns", "dh_part"}.isdisjoint(meaning(text))
    assert "np.concatenate((U, W), axis=0, out=weights_2)" in text and '"dW": dweights_2[' in text
    assert re.search(r"dot\(rows_2\[t\], weights_2_folded, out=weights\[t\]\)", text)
    assert re.search(r"multiply\(dh, drows_by_dh\[t\], out=drows\[t\]\)", text)


def copies(text: str) -> list[str]:
    """The copies in the backward loop."""
    return [line for line in loop_of(text, "backward") if " = " in line]


def test_gradients_that_move_from_state_to_state_are_copied_once() -> None:
    def delayed(x: Any, states: Any, constants: Any) -> Any:
        a, b, c = states
        return c, [ops.tanh(x[:, :1] + a), a, b]

    def turned(x: Any, states: Any, constants: Any) -> Any:
        a, b, c = states
        return c, [b, c, a * 0.5]

    assert copies(source(delayed, (H,), (H,), (H,)))[-2:] == ["db[...] = dc", "dc[...] = dy[t]"]
    found = copies(source(turned, (H,), (H,), (H,)))
    assert len(found) == 4 and found[0].startswith("kept[...] = ")


def test_the_gradient_of_a_state_is_that_of_its_new_value() -> None:
    """`dh` is what has arrived at `h`, whatever the step calls the state before; what goes back is a part of it."""
    W, U = weight("W", F, H), weight("U", H, H)

    def step(x: Any, states: Any, constants: Any) -> Any:
        h_prev, m = states
        h = ops.tanh(x @ W + h_prev @ U)
        return h, [h, 0.9 * m + h_prev]

    text = source(step, (H,), (H,))
    found = loop_of(text, "backward")
    assert found[:2] == ["add(dy[t], dh, out=dh)", "multiply(dh, dpre_h_by_dh[t], out=dpre_h[t])"]
    assert not re.search(r"\bdh_prev\b", text)
    assert any(re.match(r"dot\(dpre_h\[t\], U_T, out=dh(_part|_before)?\)", line) for line in found)
    assert not any(line.startswith("dot(") and "out=dm" in line for line in found)


def test_gradients_of_several_outputs_have_their_numbers() -> None:
    W = weight("W", F, H)

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x @ W + states[0])
        return (h * 2.0, h @ ops.transpose(W), x + 1.0), [h]

    text = source(step)
    assert re.findall(r"all_(\w+)\[\.\.\.\] = (\w+)\.swapaxes", text)[-3:] == [
        (f"dy{i}", f"dY{i}") for i in range(3)
    ]
    assert [line.partition(" = ")[0] for line in equations(text).values()] == ["h", "y0", "y1", "y2"]


def test_the_gradient_of_the_output_is_not_called_after_something_else() -> None:
    W, V = weight("W", F, H), weight("V", H, 2)

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x @ W + states[0])
        y = h @ V
        return ops.softmax(y), [h]

    text = source(step)
    assert "all_dout[...] = dY.swapaxes(0, 1)" in text and "np.matmul(all_dy.reshape(T * N, 2), V.T," in text


def test_names_that_are_taken_get_an_underscore_as_pythons_do() -> None:
    W = weight("class", F, H)

    def step(x: Any, states: Any, constants: Any) -> Any:
        T, m = states
        lambda_ = ops.sigmoid(x @ W)
        cache = ops.tanh(lambda_ * m)
        return cache, [T * cache, m * 0.5]

    text = source(step, (H,), (H,))
    assert list(equations(text).values())[:2] == [
        "lambda_ = sigmoid(x @ class_)",
        "cache_ = tanh(lambda_ · m)",
    ]
    assert "def forward(X, T_0, m0, class_, cache=None):" in text and "__" not in text


def test_activations_of_the_package_name_nothing() -> None:
    """`dy` is the gradient of the output, not that of the `y` in `relu`, and `x` the input, not the `x` of `gelu`."""
    for activation in ("relu", "gelu", "hard_sigmoid"):
        layer = tg.layers.LSTM(H, activation=activation)
        layer(np.zeros((N, 2, F)))
        names = " ".join(equations(str(layer.bptt_source())).values())
        assert not re.search(r"\b[xy]_\d|\by\b", names), names


def test_lines_are_short_however_long_the_names_are() -> None:
    n = "the_weights_of_a_quite_long_name_of_number"
    W, U, V = weight(f"{n}_1", F, H), weight(f"{n}_2", H, H), weight(f"{n}_3", H, H)

    def step(x: Any, states: Any, constants: Any) -> Any:
        the_activation_of_the_first_recurrent_layer, the_activation_of_the_second_recurrent_layer = states
        the_activation_of_the_first_recurrent_layer = ops.tanh(
            x @ W + the_activation_of_the_first_recurrent_layer @ U
        )
        the_activation_of_the_second_recurrent_layer = ops.tanh(
            the_activation_of_the_first_recurrent_layer @ V + the_activation_of_the_second_recurrent_layer
        )
        new = [the_activation_of_the_first_recurrent_layer, the_activation_of_the_second_recurrent_layer]
        return the_activation_of_the_second_recurrent_layer, new

    text = source(step, (H,), (H,))
    assert max(map(len, text.splitlines())) <= 120
    module: dict[str, Any] = {}
    exec(text, module)
    given = np.ones((N, 3, F)), np.zeros((N, H)), np.ones((N, H)), *(w.numpy() for w in (W, U, V))
    *results, cache = module["forward"](*given)
    found = module["backward"](*given, *[np.ones_like(r) for r in results], cache)
    assert [g.shape for g in found.values()] == [a.shape for a in given]
    assert re.search(r"np\.matmul\(\n        all_.*\.T,\n        all_.*\)  # ∂\(2\)\n", text)


def test_what_is_activated_has_one_name_forwards_and_backwards() -> None:
    W, U = weight("W", F, 2 * H), weight("U", H, 2 * H)

    def step(x: Any, states: Any, constants: Any) -> Any:
        a = x @ W + states[0] @ U
        i, g = ops.sigmoid(a[:, :H]), ops.tanh(a[:, H:])
        h = ops.tanh(i * g + states[0])
        return h, [h]

    with tg.bptt.without("gather"):  # which names them, too
        text = source(step)
    forwards, backwards = (" ".join(loop_of(text, name)) for name in ("forward", "backward"))
    assert "tanh(pre_h, out=h[t + 1])" in forwards and "multiply(pre_i[t], " in forwards
    assert "dpre_h_by_dh[t]" in backwards and "out=dpre_i" in backwards
    assert "what i is the activation of" in meaning(text).values()


def test_gates_of_a_dict_have_its_name_and_their_keys() -> None:
    W = {g: weight(f"W{g}", F, H) for g in "fn"}

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        gate = {g: ops.sigmoid(x @ W[g] + h) for g in "fn"}
        n = gate["n"]
        h = gate["f"] * h + n
        return h, [h]

    names = [line.partition(" = ")[0] for line in equations(source(step)).values()]
    assert names == ["gate_f", "n", "h"]


def test_a_reshape_of_what_lies_in_one_piece_is_no_copy() -> None:
    """Gradients of an attention's weights and scores, `(batch, places)`, that are made as `(batch, places, 1)`."""
    W, memory = weight("W", H, F), np.random.default_rng(0).normal(size=(1, 5, F))

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        places = ops.softmax(ops.sum(constants[0] * (h @ W)[:, None, :], axis=-1))
        read = ops.sum(places[:, :, None] * constants[0], axis=1)
        h = ops.tanh(read @ ops.transpose(W) + x[:, :1])
        return h, [h]

    assert not copies(source(step, constants=[tg.tensor(memory)]))
