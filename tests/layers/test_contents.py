"""What a layer's attributes hold is looked up once and again after any change, in containers too."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.layers.tracking import Contents


class Holder(tg.layers.Layer):
    """Holds layers in every way."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.one = tg.layers.Dense(1)
        self.listed = [tg.layers.Dense(2), [tg.layers.Dense(3)]]
        self.named = {"a": tg.layers.Dense(4), "b": {"c": [tg.layers.Dense(5)]}}
        self.fixed = (tg.layers.Dense(6), [tg.layers.Dense(7)])


def units(layer):
    return [inner.units for inner in layer.sublayers()]


CHANGES = {
    "attribute": (lambda h: setattr(h, "one", tg.layers.Dense(9)), [9, 2, 3, 4, 5, 6, 7]),
    "new attribute": (lambda h: setattr(h, "two", tg.layers.Dense(9)), [1, 2, 3, 4, 5, 6, 7, 9]),
    "deleted": (lambda h: delattr(h, "one"), [2, 3, 4, 5, 6, 7]),
    "append": (lambda h: h.listed.append(tg.layers.Dense(9)), [1, 2, 3, 9, 4, 5, 6, 7]),
    "replace in a list": (lambda h: h.listed.__setitem__(0, tg.layers.Dense(9)), [1, 9, 3, 4, 5, 6, 7]),
    "replace a nested list": (lambda h: h.listed.__setitem__(1, [tg.layers.Dense(9)]), [1, 2, 9, 4, 5, 6, 7]),
    "append to a nested list": (lambda h: h.listed[1].append(tg.layers.Dense(9)), [1, 2, 3, 9, 4, 5, 6, 7]),
    "reverse": (lambda h: h.listed.reverse(), [1, 3, 2, 4, 5, 6, 7]),
    "replace in a dict": (lambda h: h.named.update(a=tg.layers.Dense(9)), [1, 2, 3, 9, 5, 6, 7]),
    "new in a dict": (lambda h: h.named.update(d=tg.layers.Dense(9)), [1, 2, 3, 4, 5, 9, 6, 7]),
    "deep": (lambda h: h.named["b"]["c"].clear(), [1, 2, 3, 4, 6, 7]),
    "a list in a tuple": (lambda h: h.fixed[1].append(tg.layers.Dense(9)), [1, 2, 3, 4, 5, 6, 7, 9]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(name):
    change, expected = CHANGES[name]
    holder = Holder()
    assert units(holder) == units(holder) == [1, 2, 3, 4, 5, 6, 7]
    change(holder)
    assert units(holder) == units(holder) == expected


def test_it_is_not_looked_for_again_without_a_change(monkeypatch):
    holder, looked = Holder(), []
    list(holder.all_layers())
    monkeypatch.setattr(Contents, "__init__", lambda self, layer: looked.append(layer))
    holder.output_shape = (None, 1)  # what calls set
    assert [layer.name for layer in holder.all_layers()] == [layer.name for layer in holder.all_layers()]
    assert not holder.weights and not looked


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))])
def test_a_copy_holds_its_own(copied):
    holder = Holder()
    list(holder.all_layers())
    other = copied(holder)
    assert units(other) == units(holder)
    assert not {id(layer) for layer in holder.sublayers()} & {id(layer) for layer in other.sublayers()}
    other.listed.clear()
    assert units(other) == [1, 4, 5, 6, 7]
    assert units(holder) == [1, 2, 3, 4, 5, 6, 7]


def test_a_shallow_copy_can_be_changed():
    holder = Holder()
    list(holder.all_layers())
    other = copy.copy(holder)
    other.one = tg.layers.Dense(9)
    assert units(other) == [9, 2, 3, 4, 5, 6, 7]
    assert units(holder) == [1, 2, 3, 4, 5, 6, 7]


def test_metrics_of_a_model_follow_its_attributes():
    class Measured(tg.Model):
        def __init__(self):
            super().__init__()
            self.dense = tg.layers.Dense(1)
            self.kept = [tg.metrics.Mean(name="a")]

        def call(self, x):
            return self.dense(x)

    model = Measured()
    model.compile("sgd", "mse")
    x = np.ones((4, 2), np.float32)
    assert list(model.train_on_batch(x, x[:, :1], return_dict=True)) == ["loss", "a"]
    model.kept.append(tg.metrics.Mean(name="b"))
    assert list(model.train_on_batch(x, x[:, :1], return_dict=True)) == ["loss", "a", "b"]
