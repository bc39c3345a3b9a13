"""The networks of docs/derived_bptt.md: their steps, and what corresponds to what in the two sources of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.manual import gru, lstm, simple_rnn, vanilla_rnn
from tinygrad_rnn.ops import sigmoid, split, tanh

N, N_X, N_H, N_Y = 2, 3, 4, 5  # batch, inputs, hidden units, classes


def weight(name: str, *shape: int) -> tg.Variable:
    """A weight; the source depends on its shape, not on its values."""
    return tg.Variable(np.zeros(shape), name=name)


# --- the steps, in the names of the hand derivations ------------------------------------------------


def rnn_weights() -> dict[str, tg.Variable]:
    """The seed's names; one row per example, so each matrix is transposed."""
    shapes = {"Wax": (N_X, N_H), "Waa": (N_H, N_H), "ba": (N_H,), "Wya": (N_H, N_Y), "by": (N_Y,)}
    return {name: weight(name, *shape) for name, shape in shapes.items()}


def rnn_step(xt: Any, states: Any, weights: Any) -> Any:
    """Seed 000's cell up to the softmax."""
    (a,) = states
    z = a @ weights["Waa"] + xt @ weights["Wax"] + weights["ba"]
    a = tanh(z)
    zy = a @ weights["Wya"] + weights["by"]
    return zy, [a]


def lstm_weights() -> dict[str, tg.Variable]:
    """All gates side by side."""
    shapes = {"Wx": (N_X, 4 * N_H), "Wh": (N_H, 4 * N_H), "b": (4 * N_H,)}
    return {name: weight(name, *shape) for name, shape in shapes.items()}


def lstm_step(x: Any, states: Any, weights: Any) -> Any:
    """Equations (1) to (7) of the hand derivation."""
    h, c = states
    z = x @ weights["Wx"] + h @ weights["Wh"] + weights["b"]
    z_i, z_f, z_c, z_o = split(z, 4, axis=1)
    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
    candidate = tanh(z_c)
    c = f * c + i * candidate
    tanh_c = tanh(c)
    h = o * tanh_c
    return h, [h, c]


def gru_weights() -> dict[str, tg.Variable]:
    """All gates side by side, with two biases: the reset gate comes after the product."""
    shapes = {"Wx": (N_X, 3 * N_H), "bx": (3 * N_H,), "Wh": (N_H, 3 * N_H), "bh": (3 * N_H,)}
    return {name: weight(name, *shape) for name, shape in shapes.items()}


def gru_step(x: Any, states: Any, weights: Any) -> Any:
    """Equations (1) to (6) of the hand derivation, variant (a)."""
    (h,) = states
    p = x @ weights["Wx"] + weights["bx"]
    q = h @ weights["Wh"] + weights["bh"]
    p_z, p_r, p_n = split(p, 3, axis=1)
    q_z, q_r, q_n = split(q, 3, axis=1)
    z = sigmoid(p_z + q_z)
    r = sigmoid(p_r + q_r)
    n = tanh(p_n + r * q_n)
    h = z * h + (1.0 - z) * n
    return h, [h]


# --- what corresponds to what -----------------------------------------------------------------------


@dataclass
class Row:
    """Lines of the hand derivation by their beginnings, and patterns of derived statements.

    A pattern begins with the section that it looks in: f (forward) or b (backward), and start, before, inside or
    after. A statement that no pattern finds belongs to the row of the statement that wrote its first argument.
    """

    hand: list[str]
    derived: list[str]
    note: str
    found: list[str] = field(default_factory=list)


@dataclass
class Cell:
    """One network of the page."""

    title: str
    intro: str
    step: Callable[..., Any]
    weights: Callable[[], dict[str, tg.Variable]]
    states: int
    functions: list[tuple[ModuleType, str]]  # the hand derivation
    equations: str  # the numbers that its backward functions cite
    rows: list[Row]


RNN = Cell(
    title="The vanilla RNN",
    intro="Seed 000's cell with its read-out. Its softmax and loss are not part of the recurrence.",
    step=rnn_step,
    weights=rnn_weights,
    states=1,
    functions=[
        (simple_rnn, "cell_forward"), (vanilla_rnn, "cell_forward"), (vanilla_rnn, "cell_backward"),
        (simple_rnn, "cell_backward"), (vanilla_rnn, "backward"),
    ],
    equations="3 4 5 6 7 8 9 10",
    rows=[
        Row([],
            [r"f before np\.concatenate"],
            "The weights and the bias below each other, once per call."),
        Row(["z =", "a ="],
            [r"f inside dot\(", r"f inside tanh\("],
            "`rows[t]` is a_{t-1}, 1 and x_t side by side: z is one product. a_t goes into its columns of "
            "`rows[t + 1]`, which are `a[t + 1]`."),
        Row(["zy ="],
            [r"f after .*Wya\b", r"f after add\(.*\bby\b"],
            "No later step needs the read-out: one product after the loop."),
        Row(["dzy ="],
            ["b start all_dy"],
            "The loss is outside. What it sends back arrives for all steps at once, as dY."),
        Row(["da = Wya"],
            [r"b start da\[", r"b before .*Wya\.T", r"b inside add\(da,"],
            "Wya^T dzy needs nothing from step t + 1: one product for all steps before the loop. Only the "
            "sum stays inside."),
        Row(["dz ="],
            [r"b before multiply\(all_a\[1:\], all_a\[1:\]", r"b before subtract\(1\.0",
             r"b inside multiply\("],
            "The factor 1 - a^2 is made of saved values: for all steps at once. Inside, dz is written "
            "over it."),
        Row(['"da_prev":'],
            [r"b before Waa_T", r"b inside dot\("],
            "The gradient goes one step back; it stays in `da`. Waa is transposed once, in memory, not at every step."),
        Row(['"dWya":', '"dby":'],
            [r"b after .*all_a\[1:\]", r"b after .*reduce\(all_dy"],
            "All steps in one product, one sum."),
        Row(['"dWax":', '"dWaa":', '"dba":'],
            [r"b after dweights ="],
            "And one product for all three, whose rows are their gradients."),
        Row(['"dx":'],
            [r"b after .*Wax\.T"],
            "Nobody in the loop reads dx: one product for all steps."),
        Row(["accumulate("],
            [],
            "The sum over t is inside the products: `[a_1; …; a_T]^T [g_1; …; g_T]` adds up over steps "
            "and examples. By hand it is T products and T additions for every weight."),
    ],
)  # fmt: skip

LSTM = Cell(
    title="The LSTM",
    intro="Gates in Keras's order i, f, c~, o. `layers.LSTM` has the same loops; its four equations "
    "activate the gates where they are used, so there `i`, `f` and `o` are what the sigmoids are taken of.",
    step=lstm_step,
    weights=lstm_weights,
    states=2,
    functions=[(lstm, "_step"), (lstm, "_step_backward"), (lstm, "backward")],
    equations="8 9 10 11 12 13 14 15 16 17 18 19 20",
    rows=[
        Row([],
            [r"f before np\.concatenate"],
            "The weights and the bias below each other, once per call."),
        Row([],
            [r"f before .*_folded\["],
            "The gates in the order in which they are activated, with the sign of the sigmoid's exp(-z) "
            "in the weights: once per call, in place of a change of sign at every step."),
        Row(["z ="],
            [r"f inside dot\("],
            "`rows[t]` is h_prev, 1 and x side by side: one product."),
        Row(["i =", "f =", "o ="],
            [r"f inside (negative|exp|reciprocal)\(", r"f inside add\(.*\bone\b"],
            "1 / (1 + exp(-z)) for neighbouring gates in one call. The first of these statements writes gate after "
            "gate, so that each gate is one piece of memory. By hand it is guarded against overflow; here exp may "
            "become infinite, and 1 / inf is the right 0."),
        Row(["candidate ="],
            [r"f inside tanh\((?!c\[)"],
            "The same."),
        Row(["c ="],
            [r"f inside multiply\(i_f\[t\], candidate_c", r"f inside add\(i_candidate"],
            "Both products in one call: i and f are neighbours in memory, and `c[t]`, which is c_prev, stands behind "
            "the candidate. `c[t + 1]` is c."),
        Row(["tanh_c =", "h ="],
            [r"f inside tanh\(c\[", r"f inside multiply\(o\[t\]"],
            "h is written straight into the stacked states, which are the output."),
        Row(["step = _step_backward("],
            ["b start ", r"b inside add\(dy"],
            "The two sources of dh: the loss at step t, and step t + 1."),
        Row(["dc = dc_next"],
            [r"b before multiply\(all_h\[1:\], all_tanh_c", r"b before subtract\(all_o,",
             r"b inside multiply\(dh, dc_by_dh", r"b inside add\(dc,"],
            "`o * (1 - tanh_c**2)` is known before the loop (as `o - h * tanh_c`, with h = o tanh_c, which is there), "
            "so inside one product and one sum are left."),
        Row(['"o":'],
            [r"b before multiply\(all_h\[1:\], all_o", r"b before subtract\(all_h\[1:\]",
             r"b inside multiply\(dh, dz_o_by_dh"],
            "`tanh_c * o * (1 - o)`, which is `h - h * o`, before the loop. dz_o is born inside dz."),
        Row(['"i":', '"f":', '"c":'],
            [r"b before multiply\(all_candidate\[:-1\], all_i", r"b before multiply\(all_c\[:-1\], all_f",
             r"b before multiply\(all_i, all_candidate", r"b before subtract\(all_i,",
             r"b inside multiply\(dc, .*_by_dc"],
            "Three gradients with one base, dc: one product each in the loop, written into the columns of dz. "
            "Their factors are known before it."),
        Row(["dz = np"],
            [],
            "No concatenation: (9) to (12) have written into it."),
        Row(['"dc_prev":'],
            [r"b inside multiply\(dc, f\[t\]"],
            "Last in the loop, as it is written over dc."),
        Row(['"dh_prev":'],
            [r"b before Wh_T", r"b inside dot\("],
            "The one product that cannot leave the loop. What can leave it is the transposition of Wh."),
        Row(['"dWx":', '"dWh":', '"db":'],
            [r"b after dweights ="],
            "One product over all steps, whose rows are the three gradients."),
        Row(['"dx":'],
            [r"b after .*Wx\.T"],
            "One product over all steps."),
        Row(["accumulate("],
            [],
            "Inside those products."),
    ],
)  # fmt: skip

GRU = Cell(
    title="The GRU",
    intro="Keras's variant: (5a), the reset gate after the product, and (6a), z keeps the old state, so `keep` is z.",
    step=gru_step,
    weights=gru_weights,
    states=1,
    functions=[(gru, "_step"), (gru, "_step_backward"), (gru, "backward")],
    equations="7 8 9a 10 11 12 13 14 15",
    rows=[
        Row([],
            [r"f before add\(bx", r"f before np\.concatenate"],
            "The biases of both gates meet in a sum, so they are one; and those of q lie below its weight: "
            "once per call."),
        Row([],
            [r"f before .*_folded\["],
            "The sign of the sigmoid's exp(-z) in the weights of both gates: once per call, in place of one "
            "at every step."),
        Row(["p_z, p_r, p_n ="],
            ["f before "],
            "p needs no state: all steps at once."),
        Row(["q = Wh", "q_z, q_r, q_n ="],
            [r"f inside dot\("],
            "q does. `rows[t]` is h_prev and 1 side by side. The parts of p and q are views of their columns."),
        Row(["z =", "r ="],
            [r"f inside add\(p_[zr]", r"f inside (negative|exp|reciprocal)\(", r"f inside add\(.*\bone\b"],
            "Both gates at once: 1 / (1 + exp(-z)), in place. exp may become infinite, and 1 / inf is the right 0."),
        Row(["n = np.tanh(p_n + r"],
            [r"f inside multiply\(\w+\[t\], q_n", r"f inside add\(p_n", r"f inside tanh\("],
            "Three calls on one buffer, which then holds n."),
        Row(["h = keep"],
            [r"f inside subtract\(h\[t\], n", r"f inside multiply\(z\[t\], h_minus_n", r"f inside add\(n\[t\], tmp"],
            "As n + z (h_prev - n) it takes three calls. h_prev - n is kept: the way back needs it."),
        Row(["step = _step_backward("],
            ["b start ", r"b inside add\(dy"],
            "dh is the sum of what the output and step t + 1 send."),
        Row(["dn =", "dp_n ="],
            [r"b before subtract\(1\.0, all_z", r"b before multiply\(all_one_minus_z, all_n\b",
             r"b before subtract\(all_one_minus_z", r"b after multiply\(.*dp_n"],
            "dp_n = dh (1 - z)(1 - n^2): the factor before the loop. Only dWx, dbx and dx read dp_n "
            "itself, so it is computed after the loop."),
        Row(["dr = dp_n", "dp_r ="],
            [r"b before multiply\(all_\w+, all_q_n"],
            "dp_r = dh (1 - z)(1 - n^2) q_n r (1 - r): the factor goes on from the one above."),
        Row(["dkeep =", "dz = dkeep", "dp_z ="],
            [r"b before multiply\(all_h_minus_n"],
            "dp_z = dh (h_prev - n) z (1 - z), all of it known before the loop but dh."),
        Row(["dq = np.concatenate([dp_z, dp_r, dp_n"],
            [r"b before multiply\(all_\w+, all_r, out=all_dq_n", r"b inside multiply\(dh\[t\], \w+_by_dh"],
            "All of dq has the base dh: one product for each of the three in the loop, written into its columns."),
        Row(['"dh_prev": dh * keep + Wh.T'],
            [r"b before Wh_T", r"b inside dot\(", r"b inside multiply\(dh\[t\], z\[t\]",
             r"b inside add\(dh_next, "],
            "The two terms of (13)."),
        Row(["dp = np.concatenate("],
            [],
            "No concatenation: dp_z and dp_r are columns of dq, and dp_n stands alone."),
        Row(['"dWh": dq', '"dbh":'],
            [r"b after dweights", r"b after dbh"],
            "One product over all steps: that of the 1 in `rows` is the bias."),
        Row(['"dWx":', '"dbx":', '"dx":'],
            [r"b after dWx", r"b after dbx", r"b after dp_n_bias", r"b after .*Wx\.T"],
            "The same from dp, in two pieces: dp_z and dp_r, then dp_n."),
        Row(["accumulate("],
            [],
            "Inside those products."),
    ],
)  # fmt: skip
