"""Outputs in a dict: the order of layers, weights and numbers is Keras's."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import container

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((8, 6, 4)).astype(np.float32)
Y = {"reg": RNG.standard_normal((8, 1)).astype(np.float32), "cls": RNG.integers(0, 3, 8)}
LOSSES = {"reg": "mse", "cls": "sparse_categorical_crossentropy"}


def model(library: Any, order: Any, losses: Any, kind: type) -> Any:
    a = library.Input((6, 4))
    z = library.layers.GRU(5)(a)
    heads = {
        "reg": library.layers.Dense(1, name="reg")(z),
        "cls": library.layers.Dense(3, "softmax", name="cls")(z),
    }
    made = library.Model(a, {k: heads[k] for k in order} if kind is dict else [heads[k] for k in order])
    made.compile("sgd", {k: LOSSES[k] for k in losses}, metrics={"reg": "mae", "cls": "accuracy"})
    return made


@pytest.mark.parametrize("kind", [dict, list])
@pytest.mark.parametrize("losses", list(permutations(Y)))
@pytest.mark.parametrize("order", list(permutations(Y)))
def test_weights_and_numbers_come_in_keras_order(keras: Any, order: Any, losses: Any, kind: type) -> None:
    ours, theirs = model(tg, order, losses, kind), model(keras, order, losses, kind)
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    ours.set_weights(theirs.get_weights())
    for name, options in (("test_on_batch", {}), ("evaluate", {"verbose": 0}), ("train_on_batch", {})):
        for _ in range(2):
            got, want = getattr(ours, name)(X, Y, **options), getattr(theirs, name)(X, Y, **options)
            np.testing.assert_allclose(got, [float(v) for v in want], rtol=2e-4, err_msg=name)


def test_nested_outputs_and_layers_of_dicts(keras: Any) -> None:
    def made(library: Any) -> Any:
        a, b = library.Input((4,)), library.Input((3,))
        heads = [library.layers.Dense(n)(x) for n, x in ((2, a), (3, b), (4, a), (5, b))]
        return library.Model([a, b], [{"z": heads[0], "q": heads[1], "b": heads[2]}, heads[3]])

    assert [w.shape for w in made(tg).weights] == [tuple(w.shape) for w in made(keras).weights]


def test_a_file_with_another_order_is_read_by_the_names_of_the_weights(tmp_path: Path) -> None:
    """As a version wrote it that listed the outputs of a dict as they were given."""
    first = model(tg, ("reg", "cls"), ("reg", "cls"), dict)
    first.compile("adam", LOSSES)
    first.get_layer("cls").kernel.trainable = False
    first.fit(X, Y, epochs=1, verbose=0)
    first.save(tmp_path / "new.tgr")
    manifest, arrays = container.read_archive(tmp_path / "new.tgr")
    n = len(manifest["weights"])
    order = [*range(n - 4), n - 2, n - 1, n - 4, n - 3]
    for key in ("weights", "trainable"):
        manifest[key] = [manifest[key][i] for i in order]
    manifest["optimizer_variables"] = [order.index(i) for i in manifest["optimizer_variables"]]
    weights = {f"weights/{new}": arrays[f"weights/{old}"] for new, old in enumerate(order)}
    container.write_archive(tmp_path / "old.tgr", manifest, arrays | weights)
    for name in ("new", "old"):
        loaded = tg.models.load_model(tmp_path / f"{name}.tgr")
        assert all(map(np.array_equal, loaded.get_weights(), first.get_weights()))
        assert [v.trainable for v in loaded.weights] == [v.trainable for v in first.weights]
        assert [v.path for v in loaded.optimizer.variables] == [v.path for v in first.optimizer.variables]
        loaded.set_weights([0 * w for w in loaded.get_weights()])
        loaded.load_weights(tmp_path / f"{name}.tgr")
        assert all(map(np.array_equal, loaded.get_weights(), first.get_weights()))
