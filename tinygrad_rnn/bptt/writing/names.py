"""The names in a source: every quantity of a step has one, which its equations and its code share."""

from __future__ import annotations

import keyword
import re

from ...core.op import OPS
from ...core.tensor import Variable
from ..step.body import Body, Value
from ..step.text import UFUNCS
from ..step.walks import users_of

RESERVED = {
    "N", "T", "X", "t", "np", "math", "one", "minus_one", "zero", "half", "top", "cache", "dtype", "forward", "list",
    "backward", "range", "len", "map", "zip", "slice", "Y", "grads", "new_cache", "of_forward", "of_backward", "dot",
    *UFUNCS,
}  # fmt: skip
# other forms of an op
KIN = dict.fromkeys(("sigmoid_of_negative", "half_plus_half", "sigmoid_by_tanh"), "sigmoid")
LETTERS = "hcsuvw"  # for states without a name


class Names:
    """Identifiers for the source of a step: checked, and each given out once."""

    def __init__(self, body: Body) -> None:
        count = len(body.xs)
        self.xs = ["X" if count == 1 else f"X{i}" for i in range(count)]
        self.taken = RESERVED | set(self.xs)
        self.owners: dict[str, Value] = {}
        self.states = [self._state(body, j) for j in range(len(body.states))]
        self.first_states = [self.new(f"{n}_0" if n[-1].isdigit() else f"{n}0") for n in self.states]
        outputs = [f"dY{i}" for i in range(len(body.outputs))] if len(body.outputs) > 1 else ["dY"]
        last_states = [f"d{n[0].upper() + n[1:]}" for n in self.states]
        self.cotangents = [self.new(wish) for wish in (*outputs, *last_states)]
        weights = [_weight(c, body) for c in body.constants]
        self.constants = [self._own(c, wish) for c, wish in zip(body.constants, weights, strict=True)]
        for x in body.xs:
            self._own(x, x.label if x.label not in ("", "X", "inputs") else "x")
        self._name_values(body)

    def new(self, wish: str) -> str:
        """An identifier like `wish`."""
        wish = re.sub(r"\W", "_", wish).strip("_") or "v"
        if re.fullmatch(r"view_\d+|.*_at(_next)?", wish):  # which `tight` gives to what a loop walks over
            wish += "_"
        if not wish.isidentifier() or not wish.isascii() or keyword.iskeyword(wish):
            wish = "v_" + re.sub(r"[^A-Za-z0-9_]", "_", wish)
        name, k = wish, 2
        while name in self.taken or f"all_{name}" in self.taken:
            name, k = f"{wish}_{k}", k + 1
        self.taken |= {name, f"all_{name}"}
        return name

    def of(self, v: Value, otherwise: str) -> str:
        """The name of a quantity of the step, or a new one for what a pass has made."""
        return v.label if self.owners.get(v.label) is v else self.new(v.label or otherwise)

    def keep(self, alive: set[Value]) -> None:
        """Let what the passes have made take the names of what they have replaced."""
        for name in [n for n, owner in self.owners.items() if owner not in alive]:
            del self.owners[name]
            self.taken -= {name, f"all_{name}"}

    def describe(self, body: Body) -> None:
        """Name what has no name in the step after the op that computes it."""
        for v in body.values:
            if not v.label and any(a.label for a in v.inputs) and description(v):
                self._own(v, description(v))

    # --- the quantities of a step -------------------------------------------------------------------

    def _own(self, v: Value, wish: str) -> str:
        v.label = self.new(wish)
        self.owners[v.label] = v
        return v.label

    def _state(self, body: Body, j: int) -> str:
        """A state and what it becomes have one name, if the user gave them one."""
        state, after = body.states[j], body.new_states[j]
        wish = state.label or after.label or (LETTERS[j] if j < len(LETTERS) else "s")
        same = after.label in ("", wish) and after in body.values
        name = self._own(state, wish.removesuffix("0") or wish)
        if same:
            after.label = name
        return name

    def _name_values(self, body: Body) -> None:
        users = users_of(body.values, [])
        for v in body.values:  # what is assigned again and only read for it
            (user,) = users.get(v, []) if len(users.get(v, [])) == 1 else (None,)
            if user is not None and v.label and v.label == user.label and v not in body.ends:
                v.label = f"pre_{v.label}" if v.op == "part" else ""
            if v.op in ("getitem", "part") and v.label and v.inputs[0].label.endswith(v.label):
                v.label = ""
        for v in body.outputs:
            v.label = v.label or ("y" if v in body.values else "")
        after = {v for v in body.new_states if v.label in self.states}
        groups: dict[str, list[Value]] = {}
        for v in body.values:
            if v.label and v not in after:
                groups.setdefault(v.label, []).append(v)
        for label, group in groups.items():
            for k, v in enumerate(group):
                shared = label in self.taken or k + 1 < len(group)
                self._own(v, shared and _product(v) or label)


def _weight(c: Value, body: Body) -> str:
    """The name of a weight; with that of its layer where several layers of the step have one of this name."""
    tensor, several = body.tensors.get(c), [other for other in body.constants if other.label == c.label]
    path = tensor.path.split("/") if isinstance(tensor, Variable) else []
    return "_".join(path[-2:]) if len(several) > 1 and len(path) > 1 else c.label or "w"


def _product(v: Value) -> str:
    """What is multiplied in a product, or a sum with one: `x_kernel` for `x @ kernel + bias`, `r_h` for `r * h`."""
    if v.op in ("matmul", "multiply") and len(v.inputs) == 2:
        left, right = v.inputs
        return f"{left.label}_{right.label}" if left.label and right.label else ""
    products = [a for a in v.inputs if a.op == "matmul" and not a.label] if v.op == "add" else []
    return _product(products[0]) if len(products) == 1 else ""


def elementwise(v: Value) -> bool:
    """Whether an op makes each element of the one in its place, or of those in its row."""
    op = OPS.get(KIN.get(v.op, v.op))
    return op is not None and op.broadcasts or v.op in ("softmax", "log_softmax")


def description(v: Value) -> str:
    """What an op does to something that has a name: `tanh_c`, `one_minus_z`, `h_minus_n`."""
    op, of = KIN.get(v.op, v.op), [a.label if isinstance(a, Value) else {1.0: "one"}.get(a) for a in v.args]
    if op == "subtract" and all(of):
        return f"{of[0]}_minus_{of[1]}" if len(f"{of[0]}{of[1]}") <= 12 else ""
    if not elementwise(v) or len(of) != 1:
        return ""
    return f"{op}_{of[0]}" if of[0] else "" if op in UFUNCS else op
