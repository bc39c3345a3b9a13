"""What all hand derivations share: stable activations, one-hot columns, checks of arguments."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Params: TypeAlias = Mapping[str, Array]
Gradients: TypeAlias = dict[str, Array]
Rng: TypeAlias = int | np.random.RandomState | np.random.Generator | None


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)) without overflow, exact in both tails.

    Only exp of a number <= 0 is taken: sigmoid(z) = 1 / (1 + e) for z >= 0 and e / (1 + e) for z <
    0, e = exp(-|z|).

    Args: z, any shape. Returns: the same shape and dtype.

    >>> sigmoid(np.array([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """
    positive = z.real >= 0
    with np.errstate(under="ignore"):  # an underflow to 0 is the right answer here
        e = np.exp(np.where(positive, -z, z))
        return np.where(positive, 1.0, e) / (1.0 + e)


def softmax(z: Array) -> Array:
    """Return exp(z) / sum(exp(z)) over the first axis, shifted by the maximum against overflow.

    Args: z (n_y, ...). Returns: the same shape; every column sums to 1.

    >>> softmax(np.array([[1e4], [-1e4]])).tolist()
    [[1.0], [0.0]]
    """
    with np.errstate(under="ignore"):
        e = np.exp(z - z.max(axis=0, keepdims=True))
        return np.asarray(e / e.sum(axis=0, keepdims=True))


def softmax_backward(dy: Array, y: Array) -> Array:
    """Return dz for y = softmax(z): dz = y * (dy - sum(y * dy)), the sum over the first axis.

    Args: dy and y (n_y, ...). Returns: dz (n_y, ...).

    >>> softmax_backward(np.array([[1.0], [0.0]]), np.array([[0.5], [0.5]])).tolist()
    [[0.25], [-0.25]]
    """
    return np.asarray(y * (dy - (y * dy).sum(axis=0, keepdims=True)))


def one_hot(indices: Sequence[int], depth: int, dtype: npt.DTypeLike = np.float64) -> Array:
    """Return the columns of the identity that `indices` names.

    Args: indices, n integers in [0, depth). Returns: (depth, n), one 1 per column.
    Raises: ValueError for an index outside [0, depth), with its position.

    >>> one_hot([2, 0], 3).tolist()
    [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    """
    columns = np.zeros((depth, len(indices)), dtype=dtype)  # (depth, n)
    for position, index in enumerate(indices):
        if not 0 <= index < depth:
            raise ValueError(
                f"index {index} at position {position} is outside the valid range 0..{depth - 1}"
            )
        columns[index, position] = 1
    return columns


def accumulate(total: Gradients, step: Gradients) -> None:
    """Add one time step's gradients to the totals, in place, for every key of `total`.

    A weight that is used at every step collects dL/dW = sum over t of (dL/dW at step t): that sum
    is BPTT.

    >>> total = {"dW": np.zeros(1)}
    >>> accumulate(total, {"dW": np.ones(1), "dx": np.ones(1)})
    >>> total
    {'dW': array([1.])}
    """
    for key in total:
        total[key] += step[key]


def zero_gradients(**like: Array) -> Gradients:
    """Return a dict of zeros shaped like the arguments, under the same keys.

    >>> zero_gradients(dW=np.ones((1, 2)))
    {'dW': array([[0., 0.]])}
    """
    return {key: np.zeros_like(array) for key, array in like.items()}


def expect(name: str, value: Array, **dims: int | None) -> Array:
    """Return `value` as an array of the named dimensions; None means any size.

    Raises: ValueError with the expected and the received shape, and for a sequence without time
        steps.

    >>> expect("a0", np.zeros((3, 2)), n_a=4, m=None)
    Traceback (most recent call last):
    ...
    ValueError: a0: expected shape (n_a, m) = (4, any), received (3, 2)
    """
    array = np.asarray(value)
    sizes = list(dims.values())
    fits = array.ndim == len(sizes) and all(
        want is None or want == got for want, got in zip(sizes, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in sizes)
        comma = "," if len(sizes) == 1 else ""
        raise ValueError(
            f"{name}: expected shape ({', '.join(dims)}{comma}) = ({wanted}{comma}), received {array.shape}"
        )
    if array.ndim == 3 and array.shape[2] == 0:
        raise ValueError(f"{name}: expected at least one time step, received shape {array.shape}")
    return array


def read(params: Params, *names: str) -> list[Array]:
    """Return the named arrays of a parameter dict.

    Raises: KeyError that lists the missing and the received names.

    >>> read({"W": np.ones(1)}, "W", "b")
    Traceback (most recent call last):
    ...
    KeyError: 'missing parameters: b; received: W'
    """
    missing = [name for name in names if name not in params]
    if missing:
        raise KeyError(f"missing parameters: {', '.join(missing)}; received: {', '.join(params) or 'none'}")
    return [np.asarray(params[name]) for name in names]


def resolve_rng(rng: Rng) -> Any:
    """Return an object with `standard_normal` and `choice`.

    An int seeds NumPy's legacy generator (as the seed texts use it), None is the global np.random.

    >>> round(float(resolve_rng(1).standard_normal()), 6)
    1.624345
    """
    if rng is None:
        return np.random
    return np.random.RandomState(rng) if isinstance(rng, (int, np.integer)) else rng


def lookup(char: str, char_to_idx: Mapping[str, int], place: str) -> int:
    """Return the index of a character.

    Raises: ValueError that names the character and its place, if it is not in the vocabulary.

    >>> lookup("z", {"a": 0, "b": 1}, "position 3")
    Traceback (most recent call last):
    ...
    ValueError: position 3: character 'z' is not in the vocabulary 'ab'
    """
    if char not in char_to_idx:
        vocabulary = "".join(char_to_idx)
        raise ValueError(f"{place}: character {char!r} is not in the vocabulary {vocabulary!r}")
    return char_to_idx[char]
