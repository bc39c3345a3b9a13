"""Settings: float type, epsilon, the random seed, and the switches that each thread or task has to itself."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

import numpy as np

from .absent import missing
from .around import Around

_FLOATS = ("float16", "float32", "float64")
_settings: dict[str, Any] = {"floatx": "float32", "epsilon": 1e-7}


def floatx() -> str:
    """Name of the float type that Python floats, weights and random numbers get.

    >>> floatx()
    'float32'
    """
    return str(_settings["floatx"])


def set_floatx(value: str) -> None:
    """Choose the default float type: "float16", "float32" or "float64".

    Raises `ValueError` for another name. Tensors that exist keep their type.

    >>> set_floatx("float64"); floatx()
    'float64'
    >>> set_floatx("float32")
    """
    if value not in _FLOATS:
        raise ValueError(f"set_floatx: expected one of {', '.join(_FLOATS)}, got {value!r}")
    _settings["floatx"] = value


def epsilon() -> float:
    """Small number that keeps divisions and logarithms finite (Keras: 1e-7).

    >>> epsilon()
    1e-07
    """
    return float(_settings["epsilon"])


def set_epsilon(value: float) -> None:
    """Choose `epsilon`; raises `ValueError` unless it is positive.

    >>> set_epsilon(1e-7)
    """
    if not value > 0:
        raise ValueError(f"set_epsilon: expected a positive number, got {value!r}")
    _settings["epsilon"] = float(value)


# --- switches: one immutable record per context, so that threads and tasks do not disturb one another ---


class Scope(NamedTuple):
    """Where an op was recorded: the path of the layer, and the time step if it is inside a recurrence."""

    layer: str = ""
    t: int | None = None

    def __str__(self) -> str:
        """Text for error messages: `layer 'lstm', step 3`."""
        parts = [f"layer {self.layer!r}"] if self.layer else []
        return ", ".join(parts + ([f"step {self.t}"] if self.t is not None else []))


class Monitor:
    """Sees every op of a context while it runs; this one looks away."""

    tracing = False  # values must not leave the world of ops: they stand for those of every time step
    recording = False  # what runs will run again on other arrays: recurrences as one op, functions of arrays

    def forward(self, op: Any, args: Sequence[Any], attrs: dict[str, Any], y: Any, node: Any) -> None:
        """An op ran: `args` are Tensors, arrays or numbers, `y` its array (a tuple, if it has several).

        `node` is what was recorded, None if nothing was.
        """

    def arrived(self, node: Any, g: Any) -> None:
        """A backward pass reached `node`; `g` is its gradient, complete (a list, if it has several outputs)."""

    def backward(self, node: Any, parent: Any, part: Any) -> None:
        """A backward pass computed `part`, what `node` adds to the gradient of one of its inputs."""

    def read(self, tensor: Any) -> None:
        """The value of a tensor left the world of ops: it became an array or a number."""

    def asked(self, tensor: Any) -> None:
        """Somebody asked whether a tensor is recorded."""

    def computed(self, function: Any, args: Sequence[Any]) -> Any:
        """Run `function(*args)`, which depends on its arguments alone and has no gradient; its result."""
        return function(*args)

    def ran(self, function: Any, args: Sequence[Any], y: Sequence[Any], node: Any) -> None:
        """A recurrence ran as one op, with the arrays `y`: `function(*args)` runs it again.

        It returns the arrays and, unless `node` is None, what a node like this one keeps for its vjps.
        """

    def assigned(self, variable: Any, value: Any) -> None:
        """A call gave a variable the array `value`, as those that follow the batches do."""

    def depends(self, dependencies: Any) -> None:
        """What ran may run again as long as `dependencies.unchanged()`."""

    def refuse(self, reason: str) -> None:
        """Something happened that a recording does not hold."""

    def stream(self, rng: np.random.Generator) -> np.random.Generator:
        """The generator to draw from in place of `rng`."""
        return rng


class Mode(NamedTuple):
    """The switches of the current context."""

    grad: bool = True  # record ops
    training: bool = False  # dropout is active
    wide: bool = False  # the widest float type wins: products mix types, casts do not narrow
    derive: bool = False  # recurrences run in derived mode
    passes: frozenset[str] = frozenset()  # passes of derived mode that are switched off
    scope: Scope = Scope()  # stamped on every recorded node
    monitor: Monitor | None = None  # sees every op (debug_nans, tracing)
    call: object | None = None  # tells the outermost call of a layer that is running from all others

    @property
    def switches(self) -> tuple[Any, ...]:
        """What decides how a batch is computed: all but scope, monitor and call."""
        return self[:-3]


_MODE: ContextVar[Mode] = ContextVar("tinygrad_rnn_mode", default=Mode())  # noqa: B039 (a tuple)
mode = _MODE.get


class switched(Around):
    """Run a block (or decorate a function) with some fields of `Mode` changed, in this thread or task only.

    >>> with switched(training=True):
    ...     mode().training
    True
    """

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.tokens: list[Token[Mode]] = []

    def _recreate_cm(self) -> switched:  # a decorated function may be running in several threads
        return switched(**self.changes)

    def __enter__(self) -> None:
        changed = map(self.changes.get, Mode._fields, _MODE.get())  # in a third of the time of `_replace`
        self.tokens.append(_MODE.set(Mode._make(changed)))

    def __exit__(self, *_: object) -> None:
        try:
            _MODE.reset(self.tokens.pop())
        except ValueError:  # another task or thread ends a generator: what that has switched is not here
            pass


def no_grad() -> switched:
    """Context manager (or decorator) in which nothing is recorded.

    >>> with no_grad():
    ...     mode().grad
    False
    """
    return switched(grad=False)


def enable_grad() -> switched:
    """Context manager (or decorator) that records again inside `no_grad`.

    >>> with no_grad(), enable_grad():
    ...     mode().grad
    True
    """
    return switched(grad=True)


def derived() -> switched:
    """Context manager in which layers and scans run in derived mode: as loops written from the traced step.

    >>> with derived():
    ...     mode().derive
    True
    """
    return switched(derive=True)


def unrolled() -> switched:
    """Context manager in which layers and scans record every time step.

    >>> with unrolled():
    ...     mode().derive
    False
    """
    return switched(derive=False)


class FiniteMonitor(Monitor):
    """Raises at the first value that is not finite."""

    def forward(self, op: Any, args: Sequence[Any], attrs: dict[str, Any], y: Any, node: Any) -> None:
        """Look at the results of an op."""
        for value in y if isinstance(y, tuple) else (y,):
            self._check(op.name, "forward", value, mode().scope)

    def backward(self, node: Any, parent: Any, part: Any) -> None:
        """Look at one gradient."""
        self._check(node.op.name, "backward", part, node.scope)

    def _check(self, op: str, direction: str, value: Any, scope: Scope) -> None:
        if np.asarray(value).dtype.kind in "fc" and not np.isfinite(value).all():
            where = f" ({scope})" if str(scope) else ""
            kind = "NaN" if np.isnan(value).any() else "infinity"
            raise FloatingPointError(
                f"{kind} in the {direction} pass of op '{op}'{where}, result of shape {np.shape(value)}"
            )


def debug_nans() -> switched:
    """Context manager in which the first op that makes NaN or infinity raises `FloatingPointError`.

    The message names the op, forward or backward, the layer and the time step. Ops cost twice as much inside.

    >>> from tinygrad_rnn import ops, tensor
    >>> with debug_nans():
    ...     ops.log(tensor([0.0], requires_grad=True))
    Traceback (most recent call last):
    ...
    FloatingPointError: infinity in the forward pass of op 'log', result of shape (1,)
    """
    return switched(monitor=FiniteMonitor())


# --- random numbers -------------------------------------------------------------------------------
class SeedGenerator:
    """A stream of random numbers: the same seed gives the same stream.

    `seed=None` draws the seed from the global stream, so that `set_random_seed` fixes it as well.

    >>> bool(SeedGenerator(3).numpy.random() == SeedGenerator(3).numpy.random())
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = draw_seed() if seed is None else int(seed)
        self._rng = np.random.default_rng(self.seed)

    @property
    def numpy(self) -> np.random.Generator:
        """The NumPy generator that draws."""
        return _to_draw_from(self._rng)

    @property
    def state(self) -> dict[str, Any]:
        """State of the stream (plain numbers); assign it to go on from there bit for bit."""
        return dict(self._rng.bit_generator.state)

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._rng.bit_generator.state = value


@functools.cache
def _global_rng() -> np.random.Generator:
    """The package's stream, made when it is first needed: loading NumPy's generators takes a while."""
    return np.random.default_rng()


def _to_draw_from(rng: np.random.Generator) -> np.random.Generator:
    """A stream itself, or what the current monitor gives for it."""
    monitor = mode().monitor
    return rng if monitor is None else monitor.stream(rng)


def draw_seed() -> int:
    """Draw a seed for a new stream from the global stream."""
    return int(generator().integers(2**31 - 1))


def generator(seed: int | SeedGenerator | np.random.Generator | None = None) -> np.random.Generator:
    """Return the NumPy generator for `seed`: a fresh one for an int, the global stream for None.

    >>> generator(1).integers(10) == generator(1).integers(10)
    np.True_
    """
    if seed is None:
        return _to_draw_from(_global_rng())
    if isinstance(seed, SeedGenerator):
        return seed.numpy
    return seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)


def set_random_seed(seed: int) -> None:
    """Seed everything: this package's stream, `numpy.random` and Python's `random` (as Keras does).

    Raises `ValueError` unless `seed` is an integer in [0, 2**32).

    >>> set_random_seed(1); a = draw_seed(); set_random_seed(1); a == draw_seed()
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"set_random_seed: expected an integer in [0, 2**32), got {seed!r}")
    random.seed(int(seed))
    np.random.seed(int(seed))
    _global_rng().bit_generator.state = np.random.default_rng(int(seed)).bit_generator.state


def random_state() -> dict[str, Any]:
    """The states of the three streams that `set_random_seed` seeds, as plain data.

    >>> state = random_state(); a = draw_seed()
    >>> set_random_state(state); a == draw_seed()
    True
    """
    version, numbers, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)
    legacy["state"] = {**legacy["state"], "key": legacy["state"]["key"].tolist()}
    python = [version, list(numbers), gauss]
    return {"package": generator(None).bit_generator.state, "numpy": legacy, "python": python}


def set_random_state(state: dict[str, Any]) -> None:
    """Go on from what `random_state` gave, bit for bit.

    Raises `KeyError`, `TypeError` or `ValueError` for anything else.
    """
    version, numbers, gauss = state["python"]
    generator(None).bit_generator.state = state["package"]
    np.random.set_state(state["numpy"])
    random.setstate((version, tuple(numbers), gauss))


__getattr__ = functools.partial(missing, __name__)  # only for what is missing
