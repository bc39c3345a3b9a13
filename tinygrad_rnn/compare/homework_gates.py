"""Hand-written LSTMs and GRUs: which variant a file has, and the network that it is compared with.

A file defines `forward(X, h0, c0, params) -> (H, …, cache)` (LSTM) or `forward(X, h0, params) -> (H, …, cache)`
(GRU), and `backward(dH, cache) -> dict`, as `tinygrad_rnn.manual.lstm` and `gru` do. Columns are examples: X is
(n_x, m, T), h0 and c0 (n_h, m), H and dH (n_h, m, T). `params` has Keras's arrays `kernel` (n_x, g n_h),
`recurrent_kernel` (n_h, g n_h) and `bias`, or the same ones as `W`, `U`, `b` if the file never says
`recurrent_kernel`; the gates are i, f, c̃, o and z, r, n.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.op import Array
from ..core.tensor import Tensor, Variable
from ..ops import sigmoid, split, tanh
from .homework_file import (
    N_A,
    N_X,
    M,
    Problem,
    T,
    Unusable,
    arguments,
    compared,
    forward_rows,
    required,
    role,
    run,
)
from .report import GradReport, Row

Network = Callable[[dict[str, Any], Array, list[Array], list[Any]], Iterator[Any]]

_SHORT = {"kernel": "W", "recurrent_kernel": "U", "bias": "b"}
_KEYS = {  # parameter -> the keys that its gradient may have
    "kernel": ("dkernel", "kernel", "dW", "W", "dWx"),
    "recurrent_kernel": ("drecurrent_kernel", "recurrent_kernel", "dU", "U", "dWh"),
    "bias": ("dbias", "bias", "db", "b"),
}


def _names(meanings: dict[str, str]) -> dict[str, Any]:
    """One entry for every name: `{"dh dht": "h"}` is `{"dh": "h", "dht": "h"}`."""
    return {name: variable for names, variable in meanings.items() for name in names.split()}


_STATE = {"dh dht dh_t": "h|h_prev", "dh_prev dh_next dhnext dht_prev dh_prev_t": "h_prev"}
_LSTM_NAMES = _names({
    **_STATE, "dc dct dc_t": "c|c_prev", "dc_prev dc_next dcnext dct_prev": "c_prev", "dz dgates": "z",
    "di": "i|z_i", "df": "f|z_f", "do": "o|z_o", "dg dc_tilde dc_bar dcandidate dcc dc_hat": "g|z_g",
    "dz_i dzi di_raw di_input": "z_i", "dz_f dzf df_raw df_input": "z_f", "dz_o dzo do_raw do_input": "z_o",
    "dz_c dzc dz_g dzg dg_raw dg_input": "z_g",
})  # fmt: skip
_GRU_NAMES = _names({
    **_STATE, "dz": "z|s_z", "dr": "r|s_r", "dn dh_tilde dh_hat dcandidate": "n|s_n", "dp": "p", "dq": "q",
    "dz_raw dpz dp_z ds_z dzz": "s_z", "dr_raw dpr dp_r ds_r dzr": "s_r", "dn_raw dpn dp_n ds_n dzn": "s_n",
    "dqz dq_z": "s_z", "dqr dq_r": "s_r",
})  # fmt: skip
_AFTER = _names({"dqn dq_n dn_q": "q_n"}) | {
    name: (row, np.ravel) for row in ("bx", "bh") for name in (f"d{row}", f"db_{row[1]}", f"dbias_{row[1]}")
}  # fmt: skip
_BEFORE = _names({"ds drh": "s"})
_KEEPS = _names({"dkeep": "z|s_z"})


def _gru_names(after: bool, keeps: bool) -> dict[str, Any]:
    """The names of one variant: those that mean something else, or nothing, in another one are left out."""
    return _GRU_NAMES | (_AFTER if after else _BEFORE) | (_KEEPS if keeps else {})


class _Variant(NamedTuple):
    """A network that a file may have meant."""

    name: str
    blocks: int
    biases: tuple[int, ...]
    states: tuple[str, ...]
    names: dict[str, Any]
    run: Network


def _lstm(p: dict[str, Any], X: Array, start: list[Array], kept: list[Any]) -> Iterator[Any]:
    """The states h of an LSTM, one step after the other; `kept` is filled with those of c."""
    h: Any
    h, c = start
    for t in range(X.shape[2]):
        z = p["kernel"].T @ X[:, :, t] + p["recurrent_kernel"].T @ h + p["bias"][:, np.newaxis]
        z_i, z_f, z_g, z_o = split(z, 4)
        i = sigmoid(z_i)
        f = sigmoid(z_f)
        g = tanh(z_g)
        o = sigmoid(z_o)
        c = f * c + i * g
        h = o * tanh(c)
        kept.append(c)
        yield h


def _gru(reset_after: bool, keeps: bool) -> Network:
    """The states h of a GRU; `keeps`: z multiplies the old state. The names are those of `manual.gru`."""

    def states(weights: dict[str, Any], X: Array, start: list[Array], kept: list[Any]) -> Iterator[Any]:
        h: Any = start[0]
        if reset_after:
            bx = weights["bias"][0]
            bh = weights["bias"][1]
        else:
            bx = weights["bias"]
        for t in range(X.shape[2]):
            U = weights["recurrent_kernel"].T
            p = weights["kernel"].T @ X[:, :, t] + bx[:, np.newaxis]
            p_z, p_r, p_n = split(p, 3)
            if reset_after:
                q = U @ h + bh[:, np.newaxis]
                q_z, q_r, q_n = split(q, 3)
            else:
                q = U[: 2 * len(h)] @ h
                q_z, q_r = split(q, 2)
            s_z = p_z + q_z
            s_r = p_r + q_r
            z = sigmoid(s_z)
            r = sigmoid(s_r)
            if reset_after:
                s_n = p_n + r * q_n
            else:
                s = r * h
                s_n = p_n + U[2 * len(h) :] @ s
            n = tanh(s_n)
            h = z * h + (1 - z) * n if keeps else (1 - z) * h + z * n
            yield h

    return states


_LSTM = [_Variant("LSTM", 4, (), ("h0", "c0"), _LSTM_NAMES, _lstm)]
_GRU = [
    _Variant(
        f"GRU, reset {'after' if after else 'before'} the product, z {'keeps the old' if keeps else 'takes the new'} "
        "state", 3, (2,) if after else (), ("h0",), _gru_names(after, keeps), _gru(after, keeps),
    )
    for keeps in (True, False) for after in (True, False)
]  # fmt: skip


def is_gated(path: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> bool:
    """Whether a file follows the conventions of this module, not those of the vanilla RNN.

    `backward` of a gated one takes (dH, cache), and nothing in the file is called `Waa` or `Wya`.
    """
    wanted = required(backward)
    if len(wanted) != 2 or len(required(forward)) not in (3, 4) or set(map(role, wanted)) & {"X", "Y"}:
        return False
    text = Path(path).read_text(encoding="utf-8")
    return not re.search(r"""["']d?W[ay]a["']""", text) or "kernel" in text


def check_gated(
    path: str, forward: Callable[..., Any], backward: Callable[..., Any], owner: Any, rng: np.random.Generator
) -> GradReport:
    """The report on an LSTM (four arguments of `forward`) or a GRU (three).

    Of the variants of the GRU the one is taken that the forward pass agrees with.
    """
    X, D = rng.standard_normal((N_X, M, T)), rng.standard_normal((N_A, M, T))
    h0, c0 = rng.standard_normal((2, N_A, M))
    short = "recurrent_kernel" not in Path(path).read_text(encoding="utf-8")
    tries: list[tuple[_Variant, dict[str, Variable], Any, list[Row]]] = []
    reasons: list[Unusable] = []
    for variant in _LSTM if len(required(forward)) == 4 else _GRU:
        v = _variables(variant, rng)
        values = {_SHORT[name] if short else name: a.numpy().copy() for name, a in v.items()}
        with contextlib.suppress(Exception):
            owner.params = owner.parameters = values
        given = {"X": X, "a0": h0, "c0": c0, "parameters": values}
        order = ("X", "a0", "c0", "parameters") if "c0" in variant.states else ("X", "a0", "parameters")
        try:
            outputs = run(path, "forward", forward, arguments(forward, order, given))
        except Unusable as error:
            reasons.append(error)
            continue
        rows = forward_rows(outputs, _states(variant, v, X, [h0, c0]))
        tries.append((variant, v, outputs, rows))
        if rows and not any(row.failed for row in rows):
            break
    if not tries:
        kind, states = ("an LSTM", "h0, c0") if len(required(forward)) == 4 else ("a GRU", "h0")
        raise Unusable(
            f"{reasons[0]}. It is taken for {kind}, because backward takes ({', '.join(required(backward))}): of one, "
            f"forward(X, {states}, params) is given {', '.join(map(repr, _SHORT.values() if short else _SHORT))}; a "
            "vanilla RNN has backward(X, Y, parameters, caches)"
        )
    agreeing = [found for found in tries if found[3] and not any(row.failed for row in found[3])]
    variant, v, outputs, rows = (agreeing or tries)[0]
    if not rows:
        raise Unusable(
            f"forward must return the states H, an array of shape {D.shape} (n_h, m, T), and a cache"
        )
    start = [h0, c0][: len(variant.states)]

    def loss() -> Tensor:
        total: Any = 0.0
        for t, h in enumerate(variant.run(v, X, start, [])):
            total = total + (D[:, :, t] * h).sum()
        return total  # type: ignore[no-any-return]

    names = dict(variant.names)
    problem = Problem(v, loss, [X, *start], names, _KEYS)
    for name, keys in _KEYS.items():
        if not (name == "bias" and variant.biases):  # its rows are often kept apart
            names |= {k: (name, lambda m, name=name: problem.laid_out(name, m)) for k in keys if k[0] == "d"}
    cache = outputs[-1] if isinstance(outputs, (tuple, list)) else outputs
    wanted = arguments(backward, ("dH", "caches"), {"dH": D.copy(), "caches": cache})
    return compared(path, problem, backward, wanted, rows, [f"compared with: {variant.name}"])


def _variables(variant: _Variant, rng: np.random.Generator) -> dict[str, Variable]:
    width = variant.blocks * N_A
    shapes = {"kernel": (N_X, width), "recurrent_kernel": (N_A, width), "bias": (*variant.biases, width)}
    return {name: Variable(rng.standard_normal(shape) * 0.6, name=name) for name, shape in shapes.items()}


def _states(variant: _Variant, v: dict[str, Variable], X: Array, start: list[Array]) -> dict[str, Array]:
    """The states that the forward pass should give, (n_h, m, T)."""
    kept: list[Any] = []
    H = [h.numpy() for h in variant.run(v, X, start[: len(variant.states)], kept)]
    found = {"H": np.stack(H, axis=2)}
    return found | ({"C": np.stack([c.numpy() for c in kept], axis=2)} if kept else {})
