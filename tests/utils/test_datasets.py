"""Windows over a series against their definition, cutting data in two, and batches made by the user's code."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import utils
from tinygrad_rnn.utils import timeseries_dataset_from_array


@given(st.data())
def test_windows_are_their_definition(data: Any) -> None:
    n = data.draw(st.integers(2, 30))
    length, stride, rate, size = (data.draw(st.integers(1, 5)) for _ in range(4))
    start = data.draw(st.none() | st.integers(0, n - 1))
    end = data.draw(st.none() | st.integers((start or 0) + 1, n))
    m = data.draw(st.integers(0, n))
    series, targets = np.arange(n * 2.0).reshape(n, 2), np.arange(m) * 10
    windows, goals = [], []
    i = start or 0
    while i + (length - 1) * rate < (n if end is None else end) and i < m:
        windows.append([series[i + k * rate].tolist() for k in range(length)])
        goals.append(10 * i)
        i += stride
    assume(windows)
    made = timeseries_dataset_from_array(
        series, targets, length, stride, rate, size, start_index=start, end_index=end
    )
    for _ in range(2):  # a second pass gives the same
        batches = list(made)
        assert len(batches) == len(made) == math.ceil(len(windows) / size)
        assert all(len(x) == len(y) == size for x, y in batches[:-1])
        assert np.concatenate([x for x, _ in batches]).tolist() == windows
        assert np.concatenate([y for _, y in batches]).tolist() == goals


def test_documented_indices() -> None:
    """The example of Keras's documentation: 0 ... 98, windows of 10, every second value, a start every 3."""
    (batch,) = timeseries_dataset_from_array(np.arange(99), None, 10, sequence_stride=3, sampling_rate=2)
    assert batch[0].tolist() == list(range(0, 20, 2)) and batch[1, 0] == 3
    assert batch[-1].tolist() == list(range(78, 97, 2)) and len(batch) == 27


def test_single_windows_and_shuffling() -> None:
    singles = timeseries_dataset_from_array(np.arange(5), np.arange(5), 2, batch_size=None)
    assert [(x.tolist(), int(y)) for x, y in singles] == [([i, i + 1], i) for i in range(4)]
    assert len(singles) == 4

    def passes(seed: int) -> list[list[int]]:
        made = timeseries_dataset_from_array(np.arange(50), np.arange(50), 3, shuffle=True, seed=seed)
        return [np.concatenate([y for x, y in made if (x[:, 0] == y).all()]).tolist() for _ in range(2)]

    first, second = passes(1)
    assert first != second != sorted(first) == sorted(second) == list(range(48))
    assert passes(1) == [first, second] and passes(2) != [first, second]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sequence_length": 0}, "sequence_length must be a positive integer, received 0"),
        ({"sequence_stride": -1}, "sequence_stride"),
        ({"sampling_rate": 1.5}, "sampling_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"start_index": 10}, "start_index=10"),
        ({"start_index": 5, "end_index": 5}, "end_index=5"),
        ({"end_index": 11}, "end_index=11"),
        ({"sequence_length": 11}, "no window fits: one spans 11 of the 10 time steps"),
        ({"targets": []}, "there are 0 targets"),
        ({"data": 3.0}, "need a time axis"),
    ],
)
def test_bad_windows(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        timeseries_dataset_from_array(
            **{"data": np.arange(10), "targets": None, "sequence_length": 3, **options}
        )


def test_fit_on_windows() -> None:
    series = np.sin(np.arange(60) / 3).astype(np.float32)[:, None]
    windows = timeseries_dataset_from_array(series[:-5], series[5:], 5, batch_size=16, shuffle=True, seed=0)
    model = tg.Sequential([tg.Input((5, 1)), tg.layers.GRU(4), tg.layers.Dense(1)])
    model.compile(tg.optimizers.Adam(0.02), "mse")
    losses = model.fit(x=windows, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and model.evaluate(windows) < losses[0]
    assert model.predict(timeseries_dataset_from_array(series, None, 5)).shape == (56, 1)


class Squares(utils.PyDataset):
    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Any:
        x = np.full((2, 1), index + 1, np.float32)
        return x, x**2


def test_batches_of_the_users_code() -> None:
    assert utils.Sequence is utils.PyDataset
    data = Squares(3, workers=2, max_queue_size=1)
    assert data.num_batches == 3 and data.workers == 2
    for _ in range(2):
        assert [float(y[0, 0]) for _, y in data] == [1, 4, 9]
    model = tg.Sequential([tg.Input((1,)), tg.layers.Dense(1)])
    model.compile("sgd", "mse")
    losses = model.fit(data, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    data.on_epoch_begin()
    data.on_epoch_end()
    with pytest.raises(TypeError, match="no __len__"):
        len(utils.PyDataset())
    with pytest.raises(TypeError, match="no __getitem__"):
        utils.PyDataset()[0]


# --- cutting in two -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "sizes"),
    [(0.7, None, (7, 3)), (None, 0.7, (3, 7)), (4, None, (4, 6)), (2, 3, (2, 3)), (0.25, 0.25, (2, 2))],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_split_dataset(left: Any, right: Any, sizes: tuple[int, int], shuffle: bool) -> None:
    x = np.arange(10)
    a, b = utils.split_dataset(x, left, right, shuffle, seed=3)
    assert (len(a), len(b)) == sizes
    assert len({*a.tolist(), *b.tolist()}) == sum(sizes)
    assert ((a.tolist() + b.tolist()) == list(range(sum(sizes)))) != shuffle
    assert utils.split_dataset(x, left, right, shuffle, seed=3)[0].tolist() == a.tolist()
    pairs, _ = utils.split_dataset((x, x * 2), left, right, shuffle, seed=3)
    assert isinstance(pairs, tuple) and (pairs[1] == pairs[0] * 2).all() and (pairs[0] == a).all()
    named, _ = utils.split_dataset({"u": x, "v": x * 2}, left, right, shuffle, seed=3)
    assert list(named) == ["u", "v"] and (named["v"] == a * 2).all()
    items, rest = utils.split_dataset((str(i) for i in range(10)), left, right, shuffle, seed=3)
    assert [*map(int, items)] == a.tolist() and [*map(int, rest)] == b.tolist()


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        (np.arange(4), {}, ValueError, "give left_size, right_size, or both"),
        (np.arange(4), {"left_size": 4}, ValueError, "integer from 1 to 3 or a fraction"),
        (np.arange(4), {"left_size": 1.0}, ValueError, "received 1.0"),
        (np.arange(4), {"right_size": True}, ValueError, "right_size"),
        (np.arange(4), {"left_size": 3, "right_size": 2}, ValueError, "3 and 2 examples are more than the 4"),
        ((np.arange(4), np.arange(3)), {"left_size": 1}, ValueError, "same length, received"),
        (3, {"left_size": 1}, TypeError, "received int"),
        ("abc", {"left_size": 1}, TypeError, "received str"),
    ],
)
def test_bad_splits(data: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        utils.split_dataset(data, **options)
