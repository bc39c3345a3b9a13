"""What a mask costs inside the loops: one copy for each state forwards, and no other form of gates and means."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from bptt.test_passes import loop_of

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.explain import calls_in_loops
from tinygrad_rnn.bptt.passes import gates

MASK = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]])
LAYERS = ["SimpleRNN", "LSTM", "GRU"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of earlier runs, and tanh is fast."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    monkeypatch.setattr(gates, "_has_fast_tanh", lambda: True)


def text(kind: str, mask: Any = None, **options: Any) -> str:
    """The source of a layer, as it is run."""
    derived._plans.clear()
    layer = getattr(tg.layers, kind)(4, **options)
    with tg.derived():
        layer(np.ones((2, 5, 3), "float32"), mask=mask)
    (plan,) = derived._plans.values()
    return str(plan.built.text)


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
def test_calls_inside_the_loops(kind: str, sequences: bool) -> None:
    forward, backward = calls_in_loops(text(kind, return_sequences=sequences))
    masked, masked_backward = calls_in_loops(text(kind, MASK, return_sequences=sequences))
    # an RNN needs what tanh gives in padding, too
    assert masked - forward == {"SimpleRNN": 2, "LSTM": 2, "GRU": 1}[kind]
    assert masked_backward - backward <= {"SimpleRNN": 2, "LSTM": 5, "GRU": 0}[kind]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_new_states_are_written_where_they_stay(kind: str) -> None:
    copies = [line for line in loop_of(text(kind, MASK)) if "copyto" in line]
    assert copies and all("where=" in line for line in copies)
    assert not any("exp(" in line or "reciprocal(" in line for line in loop_of(text(kind, MASK)))
