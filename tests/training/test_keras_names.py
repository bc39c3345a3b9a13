"""Losses and metrics under Keras's names: signatures, default names, configs, strings; copies and pickles."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from typing import Any

import numpy as np
import pytest
from loss_cases import APART, CASES, WHOLE, sample
from metric_cases import CASES as METRICS
from metric_cases import IDS, OURS
from metric_cases import sample as metric_sample
from numpy.testing import assert_array_equal

from tinygrad_rnn import losses, metrics
from tinygrad_rnn.losses.loss import CLASSES

LEFT_OUT = {"Circle", "circle", "BinaryIoU", "OneHotIoU", "OneHotMeanIoU"}
NEEDED: dict[str, dict[str, Any]] = {
    name: options for name, _, options in METRICS if "IoU" in name or "At" in name
}


def signature(function: Any) -> list[tuple[str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.default) for p in parameters if p.kind is not p.VAR_KEYWORD]


@pytest.mark.parametrize("kind", ["losses", "metrics"])
def test_names_and_signatures(keras: Any, kind: str) -> None:
    theirs, ours = getattr(keras.src, kind).ALL_OBJECTS, {"losses": losses, "metrics": metrics}[kind]
    assert {m.__name__ for m in theirs} - set(ours.__all__) == {m.__name__ for m in theirs} & LEFT_OUT
    for member in theirs:
        if (name := member.__name__) not in LEFT_OUT:
            assert signature(getattr(ours, name)) == signature(member), name


@pytest.mark.parametrize("kind", ["losses", "metrics"])
def test_every_string_of_keras_means_the_same(keras: Any, kind: str) -> None:
    ours = {"losses": losses, "metrics": metrics}[kind]
    for string, member in getattr(keras.src, kind).ALL_OBJECTS_DICT.items():
        name = member.__name__
        if name in LEFT_OUT:
            with pytest.raises(ValueError, match=f"unknown .* '{string}'; did you mean"):
                ours.get(string)
        elif name not in ("Loss", "Metric"):
            found = ours.REGISTRY.find(string)
            assert found.__name__ == name or found.__name__ == re.sub("_", "", name)


def test_configs_have_the_keys_and_names_of_keras(keras: Any) -> None:
    keras.utils.clear_session()  # Keras numbers its names: auc, auc_1 ...
    for kind, ours in (("losses", losses), ("metrics", metrics)):
        for member in getattr(keras.src, kind).ALL_OBJECTS:
            name = member.__name__
            if name in LEFT_OUT | {"Loss", "Metric"} or not isinstance(member, type) or "Wrapper" in name:
                continue
            options = NEEDED.get(name, {})
            theirs, made = member(**options), getattr(ours, name)(**options)
            assert made.name == theirs.name
            config = made.get_config()
            for key, value in theirs.get_config().items():
                assert key == "dtype" or config[key] == value, (name, key)


@pytest.mark.parametrize(("name", "kind", "options"), METRICS, ids=IDS)
def test_metrics_come_back_from_config_pickle_and_copy(name: str, kind: str, options: dict[str, Any]) -> None:
    m = getattr(metrics, name)(name="mine", **options)
    config = json.loads(json.dumps(metrics.serialize(m)))
    y, p = metric_sample(kind)
    m.update_state(y, p)
    fresh = metrics.get(config)
    assert type(fresh) is type(m) and fresh.get_config() == m.get_config() and fresh.name == "mine"
    fresh.update_state(y, p)
    for again in (fresh, pickle.loads(pickle.dumps(m)), copy.deepcopy(m)):
        assert_array_equal(again.result(), m.result())
        again.update_state(y, p)


@pytest.mark.parametrize("name", [*CASES, *WHOLE, *APART])
def test_losses_come_back_from_config_pickle_and_copy(name: str) -> None:
    cls = {fn.__name__: c for fn, c in CLASSES.items()}[name]
    y, p = sample((CASES | WHOLE)[name][0]) if name not in APART else (np.array([[1, 2]]), np.ones((1, 4, 3)))
    loss = cls(reduction="sum", name="mine")
    config = json.loads(json.dumps(losses.serialize(loss)))
    for again in (losses.get(config), pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert again.get_config() == loss.get_config() and again.name == "mine"
        assert again(y, p).item() == loss(y, p).item()
    assert losses.get(name) is cls.fn and type(losses.as_loss(name)) is cls
    function = pickle.loads(pickle.dumps(cls.fn))
    assert function is cls.fn
    for documented in (cls, cls.fn):
        assert ">>>" in documented.__doc__ and "\n    >>> " in documented.__doc__


def test_ours_are_marked() -> None:
    for name in OURS:
        assert "Not in Keras" in getattr(metrics, name).__doc__
