"""`Tensor`: an array and the node that made it. `Variable`: a tensor that can be assigned.

A Tensor is immutable. Its array is handed out read-only, so that nothing outside can change a value
that a backward pass will read. The operators and methods are attached by `tinygrad_rnn.ops`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import floatx, mode
from .arrays import freeze, to_array
from .op import Array, GradSlot, Leaf, Node

if TYPE_CHECKING:
    from .attached import Attached
else:
    Attached = object


class Tensor(Attached):
    """An n-dimensional array that remembers how it was computed.

    Made by `tensor(...)` and by ops. Behaves like a NumPy array in expressions: operators, indexing,
    broadcasting, `np.tanh(t)`, `np.asarray(t)`. Equality compares elements; hashing goes by identity.

    >>> from tinygrad_rnn import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward(); x.grad
    array([2., 4.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_data", "_mask", "_name", "_node")

    _data: Array
    _node: Node | None  # what made it; None if it is not recorded
    _name: str  # only set if a name was given
    _mask: Any  # only set on sequences that have one: (batch, time), True where a step counts

    def __init__(self, data: Array, node: Node | None) -> None:
        self._data = data
        self._node = node

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements (NumPy's)."""
        return self._data.dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._data.size

    @property
    def name(self) -> str | None:
        """The name it was given; None otherwise."""
        return getattr(self, "_name", None)

    @property
    def requires_grad(self) -> bool:
        """Whether it is recorded, so that gradients can be taken through it."""
        monitor = mode().monitor
        if monitor is not None:
            monitor.asked(self)
        return self._node is not None

    def numpy(self) -> Array:
        """The value as a read-only NumPy array, without a copy (`.numpy().copy()` to write)."""
        self._leaves()
        return freeze(np.asarray(self._data))

    def _leaves(self) -> None:
        """Tell who watches that the value is about to leave the world of ops."""
        monitor = mode().monitor
        if monitor is not None:
            monitor.read(self)

    def item(self) -> Any:
        """The only element, as a Python number; raises `ValueError` if there are several."""
        self._leaves()
        return self._data.item()

    def tolist(self) -> Any:
        """The value as nested Python lists."""
        self._leaves()
        return self._data.tolist()

    @property
    def grad(self) -> Array | None:
        """The gradient that `backward` left here: an array of this shape and dtype, or None."""
        return self._node.slot.value if isinstance(self._node, Leaf) else None

    @grad.setter
    def grad(self, value: Any) -> None:
        if not isinstance(self._node, Leaf):
            raise ValueError("grad: only a leaf (Variable, or tensor(..., requires_grad=True)) has one")
        self._node.slot.value = self._gradient(value, "grad")

    def _gradient(self, value: Any, what: str) -> Array | None:
        copied = None if value is None else np.array(value, dtype=self.dtype)
        if copied is not None and copied.shape != self.shape:
            raise ValueError(f"{what}: expected shape {self.shape}, received {copied.shape}")
        return copied

    def zero_grad(self) -> None:
        """Forget the gradient (`grad` is None again)."""
        self.grad = None

    def detach(self) -> Tensor:
        """The same value, cut from the graph."""
        return Tensor(self._data, None)

    def __repr__(self) -> str:
        """`tensor([...], dtype=float32)`, with the name and whether it is recorded."""
        body = np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=100)
        extra = [f"dtype={self.dtype}"]
        if self.name:
            extra.append(f"name={self.name!r}")
        if isinstance(self._node, Leaf):
            extra.append("requires_grad=True")
        elif self._node is not None:
            extra.append(f"op={self._node.op.name!r}")
        return f"tensor({body}, {', '.join(extra)})"

    def __format__(self, spec: str) -> str:
        """A single element formats as its number."""
        return format(self.item(), spec) if spec and self.size == 1 else format(str(self), spec)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Refused: a tensor is immutable."""
        raise TypeError(
            "a Tensor is immutable, as a graph may need its value; use ops.where or ops.scatter to make a new "
            "one, or Variable.assign"
        )

    def __len__(self) -> int:
        """Length of the first axis."""
        if self.ndim == 0:
            raise TypeError("len() of a tensor without axes")
        return int(self._data.shape[0])

    def __bool__(self) -> bool:
        """Truth of the only element; several raise `ValueError`."""
        self._leaves()
        return bool(self._data)

    def __float__(self) -> float:
        """The only element as a float."""
        return float(self.item())

    def __int__(self) -> int:
        """The only element as an int."""
        return int(self.item())

    def __index__(self) -> int:
        """The only element of an integer tensor, as an index."""
        return int(self.numpy().__index__())

    __hash__ = object.__hash__

    def __reduce__(self) -> Any:
        """For copy and pickle: the value, its name, and whether it is a leaf; not what it was computed from."""
        return tensor, (self.numpy(), None, isinstance(self._node, Leaf), self.name)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """NumPy's conversion: read-only without a copy."""
        value = self.numpy()
        if dtype is not None and np.dtype(dtype) != value.dtype:
            if copy is False:
                raise ValueError(f"cannot view {value.dtype} as {np.dtype(dtype)} without a copy")
            return value.astype(dtype)
        return value.copy() if copy else value


class Variable(Tensor):
    """A trainable leaf: a weight.

    `initial` gives the value: an array keeps its dtype, Python numbers become `floatx()`. Integer
    variables are never trainable. `assign` replaces the value; a backward pass over a graph that was
    recorded before the assignment raises `RuntimeError` instead of giving a wrong gradient.

    >>> w = Variable([1.0, 2.0], name="w")
    >>> w.assign([3.0, 4.0]).numpy()
    array([3., 4.], dtype=float32)
    """

    __slots__ = ("_slot", "_trainable", "constraint", "path", "regularizer")

    def __init__(
        self, initial: Any, trainable: bool = True, dtype: Any = None, name: str | None = None
    ) -> None:
        data = to_array(initial, dtype)
        if dtype is None and data.dtype.kind in "iu" and not hasattr(initial, "dtype"):
            data = data.astype(floatx())
        super().__init__(data, None)
        self._name = name or "variable"
        self.path = self._name
        self.constraint: Any = None  # applied after every update
        self.regularizer: Any = None  # a penalty that is added to the loss
        self._slot = GradSlot()
        self._trainable = bool(trainable)
        self._renew_leaf()

    def _renew_leaf(self) -> None:
        if isinstance(self._node, Leaf):
            self._node.stale = True
        differentiable = self._trainable and self.dtype.kind in "fc"
        self._node = Leaf(self.shape, self.dtype, self.path, self._slot, True) if differentiable else None

    @property
    def trainable(self) -> bool:
        """Whether ops on it are recorded and optimizers change it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if bool(value) != self._trainable:
            self._trainable = bool(value)
            self._renew_leaf()

    @property
    def grad(self) -> Array | None:
        """The gradient that `backward` left here: an array of this shape and dtype, or None."""
        return self._slot.value

    @grad.setter
    def grad(self, value: Any) -> None:
        self._slot.value = self._gradient(value, f"{self.path}.grad")

    def rename(self, path: str) -> None:
        """Set the path, such as `lstm/kernel`; the name is its last part."""
        self.path = path
        self._name = path.rsplit("/", 1)[-1]
        if isinstance(self._node, Leaf):
            self._node.name = path

    def __reduce__(self) -> Any:
        """For copy and pickle: a variable of its own, without a gradient."""
        held = {name: getattr(self, name) for name in ("_name", "constraint", "regularizer")}
        return Variable, (self._data, self._trainable, None, self.path), (None, held)

    def assign(self, value: Any) -> Variable:
        """Replace the value by a copy of `value`, cast to this dtype; return the variable.

        Raises `ValueError` for another shape; the old value stays.
        """
        data = np.array(value, dtype=self.dtype)
        if data.shape != self.shape:
            raise ValueError(f"assign to {self.path!r}: expected shape {self.shape}, received {data.shape}")
        if (monitor := mode().monitor) is not None:
            monitor.assigned(self, data)
        self.replace(data)
        return self

    def assign_add(self, value: Any) -> Variable:
        """Add `value` to the value, as `assign` does; return the variable.

        >>> Variable([1.0, 2.0]).assign_add([0.5, 0.5]).tolist()
        [1.5, 2.5]
        """
        return self.assign(self + value)

    def assign_sub(self, value: Any) -> Variable:
        """Subtract `value` from the value, as `assign` does; return the variable.

        >>> Variable([1.0, 2.0]).assign_sub(0.5).tolist()
        [0.5, 1.5]
        """
        return self.assign(self - value)

    @property
    def value(self) -> Variable:
        """The variable itself, which is a Tensor: for programs that read `.value` of Keras's variables."""
        return self

    def replace(self, data: Array) -> None:
        """Take over `data` as the new value without a copy or a check (for optimizers)."""
        self._data = data
        self._renew_leaf()

    def __repr__(self) -> str:
        """`Variable(path, shape, dtype, value)`."""
        body = np.array2string(self.numpy(), separator=", ", threshold=20)
        return f"<Variable {self.path!r} shape={self.shape} dtype={self.dtype} value={body}>"


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, name: str | None = None) -> Tensor:
    """Make a Tensor from a copy of anything array-like.

    Arrays keep their dtype, Python floats become `floatx()`, Python integers int64. Raises `TypeError`
    if `requires_grad` is asked of integers, or if `data` holds no numbers.

    >>> tensor([1, 2.5])
    tensor([1. , 2.5], dtype=float32)
    """
    array = to_array(data, dtype)
    if requires_grad and array.dtype.kind not in "fc":
        raise TypeError(
            f"tensor: requires_grad needs floats, received {array.dtype}; give floats or dtype='{floatx()}'"
        )
    leaf = Leaf(array.shape, array.dtype, name) if requires_grad else None
    result = Tensor(array, leaf)
    if name is not None:
        result._name = name
    return result
