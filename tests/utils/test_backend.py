"""What programs import from `keras.backend`, and that helpers are found under their names."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import textwrap
import weakref
from collections import OrderedDict

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import backend, utils
from tinygrad_rnn.bptt import derived


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


def test_clear_session_frees_what_models_have_left_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    x, y = np.ones((4, 50, 3), "float32"), np.ones((4, 1), "float32")
    models = []
    for units in (101, 102):
        models.append(tg.Sequential([tg.layers.SimpleRNN(units), tg.layers.Dense(1)]))
        models[-1].compile(tg.optimizers.SGD(0.0), "mse")
        losses = [models[-1].train_on_batch(x, y) for _ in range(4)]
    plans = [weakref.ref(plan) for plan in derived._plans.values() if not isinstance(plan, str)]
    buffers = [weakref.ref(plan.idle) for one in plans if (plan := one()) is not None]
    del models[0]
    utils.clear_session(free_memory=False)
    assert all(one() is not None for one in buffers)
    utils.clear_session()
    assert sum(one() is not None for one in buffers) == 1 == sum(one() is not None for one in plans)
    assert models[0].train_on_batch(x, y) == losses[-1]
    assert models[0].train_on_batch(x[:, :9], y) == models[0].evaluate(x[:, :9], y, verbose=0)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="its C library is not glibc",
)
def test_clear_session_gives_memory_back_to_the_system() -> None:
    """Derived mode has arrays of up to 31 MB in the heap, which shrinks from its end only."""
    program = """
    import resource
    import numpy as np
    import tinygrad_rnn as tg
    from tinygrad_rnn.bptt import derived

    def megabytes():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize() / 2**20

    np.empty(derived.BLOCK, np.uint8)
    start = megabytes()
    arrays = [np.ones(2**18) for _ in range(50)]
    last = np.ones(2**14)
    del arrays
    tg.utils.clear_session()
    print(megabytes() - start)
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    assert float(subprocess.run(run, check=True, capture_output=True, text=True).stdout) < 20  # of 100


@pytest.mark.parametrize("name", utils.__all__)
def test_every_name_is_there(name: str) -> None:
    assert callable(getattr(utils, name)) and name in dir(utils)


def test_older_places_and_unknown_names() -> None:
    assert tg.preprocessing.sequence.pad_sequences is utils.pad_sequences
    assert tg.preprocessing.timeseries_dataset_from_array is utils.timeseries_dataset_from_array
    with pytest.raises(AttributeError, match="no attribute 'to_categoric'"):
        _ = utils.to_categoric
