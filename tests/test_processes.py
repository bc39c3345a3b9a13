"""What belongs to a whole process: locks at a fork, the number of BLAS threads, Python's switches."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tinygrad_rnn.locks import new_lock
from tinygrad_rnn.utils.threads import blas_threads_for

FORK = """
import contextlib, os, signal, threading
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import layers, locks

def train(units):
    model = tg.Sequential([layers.LSTM(units), layers.Dense(1)])
    model.compile("sgd", "mse")
    for _ in range(3):
        loss = model.train_on_batch(np.ones((4, 5, 3), "float32"), np.ones((4, 1), "float32"))

def hold():
    with contextlib.ExitStack() as stack:
        for lock in list(locks._all):
            stack.enter_context(lock)
        taken.set()
        done.wait()

train(2)
taken, done = threading.Event(), threading.Event()
thread = threading.Thread(target=hold)
thread.start()
taken.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    train(3)
    os._exit(7)
status = os.waitpid(child, 0)[1]
done.set()
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_trains_though_a_thread_that_is_not_in_it_held_the_locks() -> None:
    options = ["-W", "ignore:.*multi-threaded.*:DeprecationWarning"]
    found = subprocess.run(
        [sys.executable, *options, "-c", FORK], capture_output=True, text=True, timeout=120, check=False
    )
    assert (found.stdout.strip(), found.stderr) == ("7", "")


def test_a_lock_keeps_other_threads_out_and_lets_its_own_in() -> None:
    lock, seen = new_lock(), []
    with lock, lock:
        thread = threading.Thread(target=lambda: seen.append(lock.acquire(blocking=False)))
        thread.start()
        thread.join()
    assert seen == [False]
    assert lock.acquire(blocking=False)
    lock.release()


def blas_threads() -> list[int]:
    return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]


def test_blas_gets_its_threads_back_when_the_last_of_overlapping_blocks_ends() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = blas_threads_for([]), blas_threads_for([])
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert set(blas_threads()) == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == before


def test_a_block_that_was_interrupted_while_it_began_holds_no_thread_back() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        blas_threads_for([]).__enter__()  # and nobody will end it
        with blas_threads_for([]):
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


EXPLAIN = """
import numpy as np
import tinygrad_rnn as tg
layer = tg.layers.SimpleRNN(2)
layer(np.ones((2, 3, 4), "float32"))
print(*(len(text.splitlines()) for text in (layer.bptt_source(), tg.explain(layer))))
"""


def test_without_docstrings_the_source_and_what_passes_do_are_the_same() -> None:
    plain, bare = (
        subprocess.run(
            [sys.executable, *options, "-c", EXPLAIN], capture_output=True, text=True, timeout=120, check=True
        ).stdout
        for options in ([], ["-OO"])
    )
    assert plain == bare
