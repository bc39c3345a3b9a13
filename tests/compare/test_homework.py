"""Hand-written LSTMs and GRUs in files: every variant is understood, and mistakes are named with their line."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.compare.homework import Unusable, check, compare_file
from tinygrad_rnn.compare.homework_gates import _GRU, _lstm, _variables
from tinygrad_rnn.compare.report import GradReport
from tinygrad_rnn.manual import gru, lstm

LSTM = Path(__file__).with_name("homework_lstm.py").read_text(encoding="utf-8")
RNN = Path(__file__).with_name("homework_rnn.py").read_text(encoding="utf-8")
GRU = """
import numpy as np

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

class Net:
    def forward(self, X, h0, params):
        self.p, h, H, cache = params, h0, [], []
        for t in range(X.shape[2]):
            W, U, b = params["W"], params["U"], params["b"]
            W_z, W_r, W_n = np.split(W.T, 3)
            U_z, U_r, U_n = np.split(U.T, 3)
            b_z, b_r, b_n = np.split(b.reshape(-1, 1), 3)
            x, h_prev = X[:, :, t], h
            z = sigmoid(W_z @ x + U_z @ h_prev + b_z)
            r = sigmoid(W_r @ x + U_r @ h_prev + b_r)
            n = np.tanh(W_n @ x + U_n @ (r * h_prev) + b_n)
            h = (1 - z) * h_prev + z * n
            H.append(h)
            cache.append((x, h_prev, z, r, n))
        return np.stack(H, axis=2), cache

    def backward(self, dH, cache):
        U_z, U_r, U_n = np.split(self.p["U"].T, 3)
        grads = {"d" + k: np.zeros_like(v) for k, v in self.p.items()}
        dh_next = 0
        for t in range(len(cache) - 1, -1, -1):
            x, h_prev, z, r, n = cache[t]
            dh = dH[:, :, t] + dh_next
            dz = dh * (n - h_prev)
            dn = dh * z
            dn_raw = dn * (1 - n**2)
            ds = U_n.T @ dn_raw
            dr = ds * h_prev
            dz_raw = dz * z * (1 - z)
            dr_raw = dr * r * (1 - r)
            grads["dW"] += np.concatenate([dz_raw, dr_raw, dn_raw]).dot(x.T).T
            grads["dU"] += np.hstack([h_prev @ dz_raw.T, h_prev @ dr_raw.T, (r * h_prev) @ dn_raw.T])
            grads["db"] += np.concatenate([dz_raw, dr_raw, dn_raw]).sum(axis=1)
            dh_next = dh * (1 - z) + ds * r + U_z.T @ dz_raw + U_r.T @ dr_raw
        return grads
"""


@pytest.fixture(autouse=True)
def python_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process of a file of its own may change is put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))


def checked(folder: Path, source: str) -> GradReport:
    path = folder / "mine.py"
    path.write_text(source, encoding="utf-8")
    return check(str(path))


@pytest.mark.parametrize(
    ("source", "variant"),
    [(LSTM, "LSTM"), (GRU, "GRU, reset before the product, z takes the new state")],
)
def test_right_derivations_pass(tmp_path: Path, source: str, variant: str) -> None:
    report = checked(tmp_path, source)
    assert report and {row.verdict for row in report.rows} == {"rounding"}, str(report)
    assert [row.parameter for row in report.rows if row.t is None] == [
        "forward: H", "kernel", "recurrent_kernel", "bias",
    ]  # fmt: skip
    assert len({row.t for row in report.rows}) == 7 and f"compared with: {variant}" in report.notes


def test_a_vanilla_network_is_no_gru_though_backward_takes_two_arguments(tmp_path: Path) -> None:
    source = RNN.replace("backward(X, Y, parameters, caches)", "backward(Y, caches)").replace(
        "X.shape[2]", "6"
    )
    source = source.replace("(hs, ps)", "(hs, ps, X, parameters)").replace("hs, ps = caches", "")
    source = source.replace(
        "    Wax, Waa, Wya, ba, by = (p", "    hs, ps, X, parameters = caches\n    Wax, Waa, Wya, ba, by = (p"
    )
    source = source.replace("    hs, ps, X, parameters = caches\n", "", 1)  # not in forward
    report = checked(tmp_path, source)
    assert report and len(report.rows) == 61 and report.rows[0].parameter == "forward: A", str(report)


@pytest.mark.parametrize("module", [lstm, gru])
def test_the_derivations_of_the_library_pass(tmp_path: Path, module: Any) -> None:
    source = inspect.getsource(module).replace("from ._common", "from tinygrad_rnn.manual._common")
    report = checked(tmp_path, source)
    assert report and {row.verdict for row in report.rows} == {"rounding"}, str(report)
    assert len(report.rows) > 10


@pytest.mark.parametrize(
    ("source", "right", "wrong", "t", "quantity", "cause"),
    [
        (LSTM, "(1 - np.tanh(c) ** 2)", "(1 - np.tanh(np.tanh(c)) ** 2)", 5, "dc", "tanh twice"),
        (LSTM, "dc_next = dc * f", "dc_next = dc * i", 5, "dc_next", "i instead of f"),
        (LSTM, "dc = dc_next + ", "dc = ", 4, "dc", "is missing"),
        (LSTM, "dh_next = U @ dz", "dh_next = 0 * U @ dz", 5, "dh_next", "zero everywhere"),
        (GRU, "dn_raw = dn * (1 - n**2)", "dn_raw = dn * (1 - n)", 5, "dn_raw", "1 - a instead of 1 - a**2"),
        (GRU, "dz = dh * (n - h_prev)", "dz = dh * (h_prev - n)", 5, "dz", "sign"),
        (GRU, "dz_raw = dz * z * (1 - z)", "dz_raw = dz * z", 5, "dz_raw", "s instead of s * (1 - s)"),
        (GRU, "dh * (1 - z) + ds * r", "dh * (1 - z)", 5, "dh_next", "is missing"),
        (
            RNN,
            "dhnext = Waa.T @ dhraw",
            "dhnext = Waa.T @ dh",
            5,
            "dhnext",
            "the derivative of tanh is missing",
        ),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, source: str, right: str, wrong: str, t: int, quantity: str, cause: str
) -> None:
    assert source.count(right) == 1
    report = checked(tmp_path, source.replace(right, wrong))
    first = report.first_divergence
    assert not report and first is not None, str(report)
    line = source[: source.index(right)].count("\n") + 1
    assert (first.t, first.quantity, first.line) == (t, quantity, line), str(first)
    assert cause in first.diagnosis, str(first)


GRU_AFTER = """
import numpy as np

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def forward(X, h0, params):
    W, U, (bx, bh) = params["kernel"].T, params["recurrent_kernel"].T, params["bias"][:, :, None]
    h, H, cache = h0, [], []
    for t in range(X.shape[2]):
        p_z, p_r, p_n = np.split(W @ X[:, :, t] + bx, 3)
        q_z, q_r, q_n = np.split(U @ h + bh, 3)
        z, r = sigmoid(p_z + q_z), sigmoid(p_r + q_r)
        n = np.tanh(p_n + r * q_n)
        cache.append((X[:, :, t], h, z, r, n, q_n, W, U))
        h = z * h + (1 - z) * n
        H.append(h)
    return np.stack(H, axis=2), cache

def backward(dH, cache):
    W, U = cache[0][-2:]
    dW, dU, dbx, dbh = np.zeros_like(W), np.zeros_like(U), np.zeros(len(W)), np.zeros(len(W))
    dh_next = np.zeros_like(dH[:, :, 0])
    for t in reversed(range(len(cache))):
        x, h_prev, z, r, n, q_n, W, U = cache[t]
        dh = dH[:, :, t] + dh_next
        dz = dh * (h_prev - n)
        dn = dh * (1 - z)
        dp_n = dn * (1 - n**2)
        dr = dp_n * q_n
        dq_n = dp_n * r
        dp_z = dz * z * (1 - z)
        dp_r = dr * r * (1 - r)
        dp = np.concatenate([dp_z, dp_r, dp_n])
        dq = np.concatenate([dp_z, dp_r, dq_n])
        dW += dp @ x.T
        dU += dq @ h_prev.T
        dbx += dp.sum(axis=1)
        dbh += dq.sum(axis=1)
        dh_next = dh * z + U.T @ dq
    return {"dkernel": dW.T, "drecurrent_kernel": dU.T, "dbias": np.stack([dbx, dbh])}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "quantity", "cause"),
    [
        ("dq_n = dp_n * r", "dq_n = dp_n * z", "dq_n", "z instead of r"),
        ("dq_n = dp_n * r", "dq_n = dp_n", "dq_n", "the other factor is missing"),
        ("dq = np.concatenate([dp_z, dp_r, dq_n])", "dq = np.concatenate([dp_z, dp_r, dp_n])", "dq", ""),
        (
            "dp = np.concatenate([dp_z, dp_r, dp_n])",
            "dp = np.concatenate([dp_r, dp_z, dp_n])",
            "dp",
            "permuted",
        ),
        ("dbh += dq.sum", "dbh += dp.sum", "dbh", ""),
        ("dbx += dp.sum", "dbx = dp.sum", "dbx", "the sum over time is missing"),
    ],
)
def test_the_names_of_the_manual_gru_are_known(
    tmp_path: Path, right: str, wrong: str, quantity: str, cause: str
) -> None:
    assert GRU_AFTER.count(right) == 1
    report = checked(tmp_path, GRU_AFTER)
    assert report and len({row.parameter for row in report.rows}) == 19, str(report)
    report = checked(tmp_path, GRU_AFTER.replace(right, wrong))
    first = report.first_divergence
    assert not report and first is not None and first.quantity == quantity, str(report)
    assert first.line == GRU_AFTER[: GRU_AFTER.index(right)].count("\n") + 1
    assert cause in first.diagnosis and not first.unseen, str(first)
    assert f"{quantity}, your line mine.py:{first.line}: " in str(first)


@pytest.mark.parametrize("wrong", ["dp_n * z", "dp_n * r"])
def test_a_line_that_may_be_right_is_not_presented_as_wrong(tmp_path: Path, wrong: str) -> None:
    source = GRU_AFTER.replace("dq_n", "dmy_n").replace("dq", "dmine").replace("dp_n * r", wrong)
    report = checked(tmp_path, source)
    assert bool(report) is (wrong == "dp_n * r"), str(report)
    if not report:
        at = source[: source.index("dmine = ")].count("\n") + 1
        text = str(report.first_divergence)
        assert text.startswith("t=5, dU, first seen in your line mine.py:"), text
        assert f"not compared, so perhaps the mistake is there: dmine (line {at}); unexplained" in text


def test_a_gradient_that_is_another_one_by_mistake_is_not_compared(tmp_path: Path) -> None:
    right = LSTM.replace("dc = dc_next + dh * o *", "dtc = dh * o\n        dc = dc_next + dtc *")
    report = checked(tmp_path, right.replace("dtc = dh * o", "dtc = dh"))
    at = right[: right.index("dtc = ")].count("\n") + 1
    text = str(report.first_divergence)
    assert text.startswith(f"t=5, dc, first seen in your line mine.py:{at + 1}: "), text
    assert (
        f"not compared, so perhaps the mistake is there: dtc (line {at}); the other factor is missing" in text
    )


def test_a_mistake_in_the_totals_and_in_the_forward_pass(tmp_path: Path) -> None:
    report = checked(tmp_path, LSTM.replace('"db": db}', '"db": db / dH.shape[1]}'))
    found = {row.parameter: row.diagnosis for row in report.rows if row.failed}
    assert list(found) == ["bias"] and found["bias"].startswith("constant factor 1/2"), str(report)
    report = checked(tmp_path, LSTM.replace("f * c_prev + i * g", "f * c_prev + g"))
    assert "the forward pass differs, first at t=0" in str(report) and not report
    report = checked(tmp_path, LSTM.replace('return {"dW": dW, "dU": dU, "db": db}', 'return {"dW": dW}'))
    assert {row.verdict for row in report.rows if row.failed} == {"missing"}


@pytest.mark.parametrize("variant", _GRU, ids=lambda variant: variant.name)
def test_every_variant_is_recognised(tmp_path: Path, variant: Any) -> None:
    _, after, keeps = variant.name.replace("keeps", "True").replace("takes", "False").split(", ")
    forward = GRU.replace("(1 - z) * h_prev + z * n", "z * h_prev + (1 - z) * n") if "True" in keeps else GRU
    if "after" in after:
        forward = forward.replace(
            "np.split(b.reshape(-1, 1), 3)", "np.split(b[0].reshape(-1, 1), 3); c_n = b[1][:, None]"
        )
        forward = forward.replace("U_z @ h_prev + b_z", "U_z @ h_prev + b_z + c_n[:5]")
        forward = forward.replace("U_r @ h_prev + b_r", "U_r @ h_prev + b_r + c_n[5:10]")
        forward = forward.replace("U_n @ (r * h_prev)", "r * (U_n @ h_prev + c_n[10:])")
    report = checked(tmp_path, forward)
    assert f"compared with: {variant.name}" in report.notes
    assert report.rows[0].parameter == "forward: H" and not report.rows[0].failed


@pytest.mark.parametrize("batch", [1, 3])
def test_the_reference_is_that_of_the_hand_derivations(batch: int) -> None:
    rng = np.random.default_rng(0)
    X, h0, c0 = rng.standard_normal((4, batch, 6)), *rng.standard_normal((2, 5, batch))
    p = {
        k: rng.standard_normal(s)
        for k, s in (("kernel", (4, 20)), ("recurrent_kernel", (5, 20)), ("bias", (20,)))
    }
    H = [np.asarray(h) for h in _lstm(p, X, [h0, c0], [])]
    np.testing.assert_allclose(np.stack(H, axis=2), lstm.forward(X, h0, c0, p)[0], rtol=1e-12)
    for variant in _GRU[:2]:  # those of Keras
        p = {name: v.numpy() for name, v in _variables(variant, rng).items()}
        H = [np.asarray(h) for h in variant.run(p, X, [h0], [])]
        np.testing.assert_allclose(np.stack(H, axis=2), gru.forward(X, h0, p)[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (LSTM.replace("return np.stack(H, axis=2), cache", "return None, cache"), "must return the states H"),
        (LSTM.replace('params["W"]', 'params["Q"]'), r"forward raises KeyError: 'Q' \(line 11\)"),
        (
            GRU.replace('params["W"]', 'params["Q"]'),
            r"It is taken for a GRU, because backward takes \(dH, cache\): of",
        ),
        (
            RNN.replace("backward(X, Y, parameters, caches)", "backward(dA, caches)"),
            r"backward takes \(dA, caches\); expected \(X, Y, parameters, caches\)",
        ),
        (LSTM.replace("x, h_prev, c_prev, i", "x, h_prev, i"), "backward raises ValueError"),
    ],
)
def test_unusable_files(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(Unusable, match=said):
        checked(tmp_path, source)


def test_neighbours_are_imported_but_stand_in_nobodys_way(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("html", "json", "random", "ast", "secrets", "linecache", "typing", "threading", "textwrap"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('shadowed')", encoding="utf-8")
    (tmp_path / "gates.py").write_text("import numpy as np\n", encoding="utf-8")
    (tmp_path / "mine.py").write_text(LSTM.replace("import numpy as np", "from gates import np"), "utf-8")
    monkeypatch.chdir(tmp_path)
    for path in ("mine.py", str(tmp_path / "mine.py")):
        code, text = compare_file(path)
        assert code == 0 and "passed" in text, text


def test_the_last_words_of_a_program_that_ends_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    words = "import os, sys\nprint('a' * 10**6, 'no more memory', file=sys.stderr, flush=True)\nos._exit(3)"
    path.write_text(words, encoding="utf-8")
    code, text = compare_file(str(path))
    assert code == 2 and "(exit code 3): its last words: aaa" in text and text.endswith(" no more memory")
    assert len(text) < 2500 and "\n" not in text
    path.write_text("import os; os._exit(3)", encoding="utf-8")
    assert compare_file(str(path))[1].endswith("(exit code 3): does it call exit?")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert compare_file(str(tmp_path)) == (2, f"{tmp_path}: it is a folder")


def test_a_name_with_another_meaning_is_no_failure_if_all_totals_are_right(tmp_path: Path) -> None:
    report = checked(
        tmp_path, LSTM.replace("        di = dc * g\n", "        di = dc * g\n        dz_i = di * 7\n")
    )
    assert report and report.first_divergence is None, str(report)
