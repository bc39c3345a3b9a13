"""Recurrent networks derived by hand, forward and backward, in NumPy alone.

The package is a textbook and an oracle. It shares no code with the engine, so an agreement of the
two is evidence.

Conventions, the same in every module:

* columns are examples: a batch is ``(n, m)``, a sequence ``(n, m, T)``, a bias ``(n, 1)``;
* ``forward(...)`` returns the outputs and a cache, ``backward(d_outputs, cache)`` a dict of
  gradients, in which ``dW`` is dL/dW of one scalar loss L, summed over examples and time;
* the module's docstring numbers the equations, and a comment such as ``# (3)`` marks the line
  that computes one;
* the dtype of the inputs is kept, and complex inputs go through every forward pass (for
  complex-step checks).

Reading order: ``dense``, ``linear_rnn``, ``simple_rnn``, ``vanilla_rnn``, ``lstm``, ``gru``,
``bidirectional``, ``deep``.
"""

from . import bidirectional, deep, dense, gru, linear_rnn, lstm, simple_rnn, vanilla_rnn

__all__ = [
    "bidirectional",
    "deep",
    "dense",
    "gru",
    "linear_rnn",
    "lstm",
    "simple_rnn",
    "vanilla_rnn",
]
