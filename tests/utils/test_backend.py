"""What programs import from `keras.backend`, and that helpers are found under their names."""

from __future__ import annotations

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import backend, utils


def test_settings_are_the_settings() -> None:
    assert backend.epsilon() == tg.epsilon() and backend.floatx() == "float32"
    backend.set_floatx("float64")
    assert tg.floatx() == "float64"
    backend.set_floatx("float32")


def test_clear_session_counts_anew() -> None:
    for _ in range(2):
        utils.clear_session()
        first, second = tg.layers.Dense(1), tg.layers.Dense(1)
        assert (first.name, second.name) == ("dense", "dense_1")


@pytest.mark.parametrize("name", utils.__all__)
def test_every_name_is_there(name: str) -> None:
    assert callable(getattr(utils, name)) and name in dir(utils)


def test_older_places_and_unknown_names() -> None:
    assert tg.preprocessing.sequence.pad_sequences is utils.pad_sequences
    assert tg.preprocessing.timeseries_dataset_from_array is utils.timeseries_dataset_from_array
    with pytest.raises(AttributeError, match="no attribute 'to_categoric'"):
        _ = utils.to_categoric
