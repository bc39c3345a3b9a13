"""Memory of recurrences that have ended: which sets of buffers are kept, and how seldom that is looked at."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import idle


def test_idle_sets_of_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; a plan's own are bounded too; what is taken, and what went with its plan, does not count."""
    monkeypatch.setattr(idle, "_waiting", {})
    monkeypatch.setattr(idle, "_bytes", [0])
    monkeypatch.setattr(idle, "OF_ALL", 2)
    monkeypatch.setattr(idle, "BYTES", 2000)
    owners = [idle.Idle() for _ in range(4)]

    def kept() -> list[int]:
        return [len(owner.sets) for owner in owners]

    for owner in owners:
        owner.give_back(5, ((np.zeros(91),), (np.zeros(9)[:3],)))
    # of 800 bytes each, though a third would fit into 2000 only without the fourth
    assert kept() == [0, 0, 1, 1]
    assert owners[3].take(4) is None and owners[3].take(5) is not None and kept() == [0, 0, 1, 0]
    owners[1].give_back(7, ((np.zeros(1),),))
    owners[1].give_back(6, ((np.zeros(2),),))
    assert kept() == [0, 2, 1, 0]
    del owners[2]
    owners[0].give_back(1, ((np.zeros(100),),))
    owners[0].give_back(2, ((np.zeros(300),),))
    assert kept() == [2, 0, 0]  # 2400 bytes, but few
    for steps in range(9):
        owners[2].give_back(steps, ((np.zeros(1),),))
    assert kept() == [0, 0, idle.OF_A_PLAN] and owners[2].take(8) is not None and owners[2].take(4) is None


def test_large_sets_of_other_lengths_go_before_a_new_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else batches of many lengths, or sizes, would hold several times the memory of the longest."""
    monkeypatch.setattr(idle, "_waiting", {})
    monkeypatch.setattr(idle, "_bytes", [0])
    monkeypatch.setattr(idle, "BYTES", 1000)
    owner, other = idle.Idle(), idle.Idle()
    owner.give_back(5, (np.zeros(100),))
    assert other.take(5) is None and owner.take(6) is None and len(owner.sets) == 1  # 800 bytes may wait
    other.give_back(5, (np.zeros(100),))
    assert other.take(5) is not None and len(owner.sets) == 1  # nothing is made
    other.give_back(5, (np.zeros(100),))
    assert owner.take(6) is None and len(owner.sets) == 0 and len(other.sets) == 1
    owner.give_back(6, (np.zeros(1000),))
    assert other.take(6) is None and idle._bytes == [0]


@pytest.mark.parametrize("units", [4, 64])
@pytest.mark.parametrize("saving", [False, True])
def test_the_size_of_a_set_is_what_it_takes(units: int, saving: bool) -> None:
    """Of one example and few units, the views of its steps take more than its arrays."""
    layer = tg.layers.LSTM(units)
    layer(np.ones((1, 2, 3), "float32"))
    functions: dict[str, Any] = {}
    text = str(tg.bptt_source(layer, np.ones((1, 3), "float32"), layer.get_initial_state(1)))
    exec(compile(text, "<derived>", "exec"), functions)
    tracemalloc.start()
    of_forward, of_backward = functions["new_cache"](
        np.ones((1, 2000, 3), "float32"), np.ones((1, units), "float32")
    )
    buffers = (of_forward, of_backward) if saving else of_forward
    del of_forward, of_backward
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 0.9 * taken < idle.size_of(buffers) < 1.1 * taken


def test_garbage_that_is_collected_while_old_sets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may give back, and take, too: in the middle of looking at all that waits."""
    owner, other = idle.Idle(), idle.Idle()

    class Collecting(dict[int, Any]):
        def get(self, age: int, *default: Any) -> Any:
            found = super().get(age, *default)
            if not other.sets:
                for steps in range(3):
                    other.give_back(steps, ((np.zeros(1),),))
                assert owner.take(0) is not None
            return found

    waiting = Collecting()
    monkeypatch.setattr(idle, "_waiting", waiting)
    monkeypatch.setattr(idle, "OF_ALL", 2)
    monkeypatch.setattr(idle, "_bytes", [idle.BYTES])
    for steps in range(4):
        owner.give_back(steps, ((np.zeros(1),),))
    assert len(owner.sets) == len(other.sets) == 3
    assert {age for age, _ in (*owner.sets, *other.sets)} == waiting.keys()


def test_many_small_sets_are_looked_at_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every batch would take the longer, the more models there are. Sets of plans that are no more go at last."""
    looks: list[int] = []
    real = idle._let_go
    monkeypatch.setattr(idle, "_waiting", {})
    monkeypatch.setattr(idle, "_bytes", [0])
    monkeypatch.setattr(idle, "_let_go", lambda few: (looks.append(len(idle._waiting)), real(few)))
    owners = [idle.Idle() for _ in range(200)]
    for owner in owners:
        owner.give_back(5, ((np.zeros(9),),))
    assert idle._bytes == [200 * 72] and len(looks) <= 1
    del owner, owners[20:]
    for _ in range(2 * idle.OFTEN):
        owners[0].give_back(5, owners[0].take(5))
    assert 2 <= len(looks) <= 3 and len(idle._waiting) == 20 and idle._bytes == [20 * 72]


def test_a_set_that_another_thread_takes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = idle.Idle()

    class Late(dict[int, Any]):
        def __setitem__(self, age: int, entry: Any) -> None:
            assert owner.take(5) is not None
            super().__setitem__(age, entry)

    monkeypatch.setattr(idle, "_waiting", Late())
    monkeypatch.setattr(idle, "_bytes", [0])
    owner.give_back(5, ((np.zeros(9),),))
    idle._let_go(idle.OF_ALL)
    assert not owner.sets and not idle._waiting and idle._bytes == [0]


def test_a_set_is_measured_once_for_each_length(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Any] = []
    monkeypatch.setattr(idle, "_waiting", {})
    monkeypatch.setattr(idle, "_bytes", [0])
    monkeypatch.setattr(idle, "LENGTHS", 3)
    monkeypatch.setattr(idle, "size_of", lambda buffers: (measured.append(buffers), 8)[1])
    owner = idle.Idle()
    for _ in range(5):
        for steps in (1, 2, 3):
            owner.give_back(steps, ((np.zeros(1),),))
    assert len(measured) == 3 and idle._bytes == [8 * len(owner.sets)]
    owner.give_back(4, ((np.zeros(1),),))
    assert len(measured) == 4 and owner.sizes == {4: 8}
