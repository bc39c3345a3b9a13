"""The linear RNN of seed 003 against every number of seed-references.md, section 2."""

from fractions import Fraction

import numpy as np
import pytest

from tinygrad_rnn.manual import linear_rnn as lin

ROWS = (
    "0100000001 0101010100 1101110001 0011101101 1101001000 0100001011 0010011111 1001001011 "
    "1110010111 0101001101 0110110111 0011011110 0000111100 1110101011 1000000110 0110010111 "
    "0011000011 0110111000 1010010111 0011110011"
)
TARGETS = [2, 4, 6, 6, 4, 4, 6, 5, 7, 5, 7, 6, 4, 7, 3, 6, 4, 5, 6, 6]
X, T = lin.make_data()


def cost_at(wx, wRec):
    return lin.cost(lin.forward_states(X, wx, wRec)[:, -1], T)


def test_data_set():
    assert ["".join(map(str, row)) for row in X.astype(int)] == ROWS.split()
    assert T.tolist() == TARGETS and T.sum() == 103


def test_forward_and_cost():
    assert lin.forward_states(X, 1.2, 1.2)[0, -1] == pytest.approx(6.359780352, rel=1e-12)
    assert cost_at(1.2, 1.2) == pytest.approx(110.22803726617079, rel=1e-15)
    assert cost_at(1.0, 1.0) == 0 and lin.gradient(X, T, 1.0, 1.0) == (0, 0)
    assert cost_at(-1.5, 2.0) == pytest.approx(615689.775, rel=1e-12)


def test_gradient_at_the_check_point():
    assert lin.gradient(X, T, 1.2, 1.2) == (274.595429133218, 1593.2428444791924)


def test_gradient_against_exact_rationals():
    w = Fraction(1.2)  # the double, exactly
    dwx = dwRec = Fraction(0)
    for row, target in zip(X, TARGETS, strict=True):
        s, ds_dwx, ds_dwRec = Fraction(0), Fraction(0), Fraction(0)
        for x in row:  # forward-mode differentiation of (1): not how the module does it
            bit = int(x)
            ds_dwx, ds_dwRec = bit + w * ds_dwx, s + w * ds_dwRec
            s = bit * w + s * w
        dwx += 2 * (s - target) * ds_dwx / 20
        dwRec += 2 * (s - target) * ds_dwRec / 20
    assert (float(dwx), float(dwRec)) == (274.595429133218, 1593.2428444791926)
    np.testing.assert_allclose(lin.gradient(X, T, 1.2, 1.2), (float(dwx), float(dwRec)), rtol=1e-15)


def test_numerical_gradient():
    numeric = lin.numerical_gradient(X, T, 1.2, 1.2)
    np.testing.assert_allclose(numeric, (274.59542906172, 1593.24284346951), rtol=1e-8)
    np.testing.assert_allclose(numeric, lin.gradient(X, T, 1.2, 1.2), rtol=1e-8)


@pytest.mark.parametrize(
    ("point", "hessian", "rtol"),
    [
        ((1.2, 1.2), [[343.93955235, 3302.10001811], [3302.10001811, 19662.11587683]], 1e-10),
        ((1.0, 1.0), [[56.7, 233.6], [233.6, 996.3]], 1e-12),
    ],
)
def test_hessian_by_complex_steps_through_the_backward_pass(point, hessian, rtol):
    columns = []
    for step in ((1e-30j, 0), (0, 1e-30j)):
        gradient = lin.gradient(X, T, point[0] + step[0], point[1] + step[1])
        columns.append([g.imag / 1e-30 for g in gradient])
    np.testing.assert_allclose(columns, hessian, rtol=rtol)


def test_gradients_of_all_states():
    # seed-references.md prints 34.3429217397446 for k = 7; its neighbours and the ratio 1.2 say
    # 41.2115061956935 / 1.2 = 28.6191015247872 * 1.2 = 34.3429218297446: two digits were swapped.
    want = [
        123.056898116242, 102.547415096868, 85.4561792473901, 71.2134827061584, 59.3445689217987,
        49.4538074348323, 41.2115061956935, 34.3429218297446, 28.6191015247872, 23.849251270656,
        19.87437605888,
    ]  # fmt: skip
    np.testing.assert_allclose(lin.gradient_over_time(X, T, 1.2, 1.2), want, rtol=1e-13)


FIGURE_10 = [  # point, cost, parameter gradient, plotted at S_10 and at S_0, true sum at S_10
    ((2.0, 1.0), 28.35, (56.7, 467.2), 206, 206, 10.3),
    ((1.0, 2.0), 265551.15, (535908.3, 2174323.9), 17686, 18110464, 884.3),
    ((1.0, -2.0), 85002.75, (168858.3, -739548.9), -3594, -3680256, -179.7),
    ((1.0, 0.0), 21.35, (-6.3, -5.7), -178, 0, -8.9),
    ((1.0, 0.5), 16.396010398864746, (-10.032979202270507, -17.425470733642577),
     -155.62109375, -0.1519737244, -7.781054688),
    ((1.0, -0.5), 23.29500331878662, (-4.609212112426759, -2.358647918701171),
     -185.89453125, -0.1815376282, -9.294726563),
]  # fmt: skip


@pytest.mark.parametrize(("point", "cost", "gradient", "last", "first", "true"), FIGURE_10)
def test_gradient_over_time(point, cost, gradient, last, first, true):
    assert cost_at(*point) == pytest.approx(cost, rel=1e-12)
    np.testing.assert_allclose(lin.gradient(X, T, *point), gradient, rtol=1e-12)
    plotted = lin.gradient_over_time(X, T, *point, as_in_tutorial=True)
    assert plotted.shape == (11,)
    np.testing.assert_allclose((plotted[-1], plotted[0]), (last, first), rtol=1e-9)
    honest = lin.gradient_over_time(X, T, *point)
    assert honest[-1] == pytest.approx(true, rel=1e-9)
    np.testing.assert_allclose(plotted, 20 * honest, rtol=1e-12)
    np.testing.assert_allclose(honest[:-1], honest[1:] * point[1], rtol=1e-12)


def test_a_gradient_step_from_the_blue_point():
    gradient = lin.gradient(X, T, 1.0, 2.0)
    step = [w - 1e-6 * g for w, g in zip((1.0, 2.0), gradient, strict=True)]
    assert np.round(step, 3).tolist() == [0.464, -0.174]


def test_rprop_path_is_exact():
    path = lin.rprop(X, T)
    assert path.shape == (501, 2)
    assert path[0].tolist() == [-1.5, 2.0] and path[1].tolist() == [-1.4995, 1.9995]
    np.testing.assert_allclose(path[10], [-1.487020658944, 1.987020658944], rtol=1e-13)
    assert path[50].tolist() == [1.718161444505056, 0.8341022946382431]
    assert path[100].tolist() == [1.2120221196576606, 0.9518451331314709]
    assert path[200].tolist() == [1.0477309671353028, 0.9887494654280373]
    assert path[500].tolist() == [1.001355547207059, 0.9996744737846419]
    costs = np.array([cost_at(*w) for w in path])
    assert costs[500] == pytest.approx(1.8008530879581043e-06, rel=1e-9)
    assert np.argmax(costs < 1) == 43 and np.argmax(costs < 1e-3) == 229
    np.testing.assert_allclose(lin.gradient(X, T, -1.5, 2.0), [-816019.2, 4963683.9], rtol=1e-12)


def test_rprop_step_sizes():
    W, delta, sign = [-1.5, 2.0], [0.001, 0.001], [0.0, 0.0]
    for _ in range(500):
        delta, sign = lin.update_rprop(lin.gradient(X, T, *W), sign, delta)
        W = [w - s * d for w, s, d in zip(W, sign, delta, strict=True)]
    assert W == lin.rprop(X, T)[-1].tolist()
    np.testing.assert_allclose(delta, (3.371389415102182e-05, 5.853106623441289e-06), rtol=1e-14)


def test_final_model_on_the_test_sequence():
    bits = np.array([[0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1]])
    wx, wRec = lin.rprop(X, T)[-1]
    output = lin.forward_states(bits, wx, wRec)[0, -1]
    assert output == pytest.approx(4.9989637409516945, rel=1e-14) and f"{output:.2f}" == "5.00"
    assert bits.sum() == 5


def test_cost_surface_extremes():
    for low, high, smallest, largest in (
        (-3, 3, None, 2197372450.2),
        (0, 2, 0.003534625040854936, 1071844.95),
    ):
        grid = np.linspace(low, high, 100)
        surface = np.array([[cost_at(wx, wRec) for wx in grid] for wRec in grid])
        assert surface.max() == pytest.approx(largest, rel=1e-9)
        if smallest is None:
            assert surface[-1, 0] == surface.max()  # at (-3, 3)
        else:
            assert surface.min() == pytest.approx(smallest, rel=1e-12)
            row, column = np.unravel_index(surface.argmin(), surface.shape)
            np.testing.assert_allclose((grid[column], grid[row]), (1.050505, 0.989899), rtol=1e-6)


def test_gradients_agree(agree):
    rng = np.random.default_rng(0)
    arrays = {"wx": np.array(0.7), "wRec": np.array(-1.1), "X": rng.normal(size=(3, 4))}
    weight = rng.normal(size=3)

    def loss(a):
        y, _ = lin.forward(a["X"], {"wx": a["wx"], "wRec": a["wRec"]})
        return (weight * y**2).sum()

    def torch_loss(a):
        s = 0
        for k in range(4):
            s = s * a["wRec"] + a["X"][:, k] * a["wx"]
        return (weight_tensor * s**2).sum()

    import torch

    weight_tensor = torch.tensor(weight)
    y, cache = lin.forward(arrays["X"], {"wx": arrays["wx"], "wRec": arrays["wRec"]})
    gradients = lin.backward(2 * weight * y, cache)
    assert gradients["dS"].shape == (3, 5)
    agree(arrays, loss, {name: gradients["d" + name] for name in arrays}, torch_loss)


def test_dtype_is_kept():
    y, cache = lin.forward(X.astype(np.float32), {"wx": 1.2, "wRec": 1.2})
    gradients = lin.backward(y, cache)
    assert {y.dtype, *(g.dtype for g in gradients.values())} == {np.dtype(np.float32)}


def test_errors_name_the_shapes():
    with pytest.raises(ValueError, match=r"X: expected shape \(m, T\).*received \(10,\)"):
        lin.forward_states(X[0], 1.0, 1.0)
    with pytest.raises(ValueError, match=r"at least one time step, received shape \(20, 0\)"):
        lin.forward_states(X[:, :0], 1.0, 1.0)
    with pytest.raises(ValueError, match=r"t: expected shape \(m,\) = \(20,\), received \(20, 1\)"):
        lin.cost(lin.forward_states(X, 1.0, 1.0)[:, -1], T[:, None])
    with pytest.raises(ValueError, match=r"S: expected shape \(m, T_plus_1\) = \(20, 11\)"):
        lin.backward_gradient(X, X, T, 1.0)
