"""The names in a source: every quantity of a step has one, which its equations and its code share.

Buffers and views have the names of the quantities that they hold, or of what those are parts of.
"""

from __future__ import annotations

import keyword
import re

from ...core.op import OPS
from ...core.tensor import Variable
from ..step.body import Body, Value
from ..step.text import KIN, UFUNCS, row_by_row
from ..step.walks import ancestors, dependents, only_user, users_of
from .layout import Layout, Place, is_only_part

RESERVED = {
    "N", "T", "X", "t", "np", "math", "one", "minus_one", "zero", "half", "top", "near", "above", "below", "cache",
    "dtype", "forward", "list", "backward", "range", "len", "map", "zip", "slice", "Y", "grads", "new_cache",
    "of_forward", "of_backward", "dot", "empty", *UFUNCS,
}  # fmt: skip
MADE = {"rows", "weights", "dweights", "joined", "columns", "sums"}  # labels that passes give
LETTERS = "hcsuvw"  # for states without a name
WORDS = {"add": "plus", "subtract": "minus", "multiply": "times", "divide": "over"}


class Names:
    """Identifiers for the source of a step: checked, and each given out once."""

    def __init__(self, body: Body) -> None:
        count = len(body.xs)
        self.xs = ["X" if count == 1 else f"X{i}" for i in range(count)]
        self.taken = RESERVED | set(self.xs)
        self.owners: dict[str, Value] = {}
        self.free: set[str] = set()  # names in the equations whose quantities the passes have replaced
        self.states = [self._state(body, j) for j in range(len(body.states))]
        self.first_states = [self.new(f"{n}_0" if n[-1].isdigit() else f"{n}0") for n in self.states]
        count = len(body.outputs)
        outputs = ["dY"] if count == 1 else [f"dY{i}" for i in range(count)]
        last_states = [f"d{n[0].upper() + n[1:]}" for n in self.states]
        self.cotangents = [self.new(wish) for wish in (*outputs, *last_states)]
        weights = [_weight(c, body) for c in body.constants]
        self.constants = [self._own(c, wish) for c, wish in zip(body.constants, weights, strict=True)]
        for x in body.xs:
            self._own(x, x.label if x.label not in ("", "X", "inputs") else "x")
        self._name_values(body)
        self.shown = set(self.owners)  # in the equations

    def new(self, wish: str) -> str:
        """An identifier like `wish`."""
        wish = re.sub(r"[\W_]+", "_", wish).strip("_") or "v"
        if keyword.iskeyword(wish) or wish in RESERVED:
            wish += "_"
        if re.fullmatch(r"view_\d+|.*_at(_next)?", wish):  # which `tight` gives to what a loop walks over
            wish += "_"
        if not wish.isidentifier() or not wish.isascii():
            wish = "v_" + re.sub(r"[^A-Za-z0-9_]", "_", wish)
        name, k = wish, 2
        while name in self.taken or f"all_{name}" in self.taken:
            name, k = f"{wish}_{k}", k + 1
        self.taken |= {name, f"all_{name}"}
        return name

    def of(self, v: Value, otherwise: str) -> str:
        """The name of a quantity of the step, or a new one for what a pass has made."""
        if v.label in self.free and v.label not in MADE:
            self.free.remove(v.label)
            self.owners[v.label] = v
        return v.label if self.owners.get(v.label) is v else self.new(v.label or otherwise)

    def keep(self, alive: set[Value]) -> None:
        """Let what the passes have made take the names of what they have replaced."""
        for name in [n for n, owner in self.owners.items() if owner not in alive]:
            del self.owners[name]
            if name in self.shown:  # only for what is the same
                self.free.add(name)
            else:
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
            user = only_user(v, users)
            if user is not None and v.label and v.label == user.label and v not in body.ends:
                v.label = f"pre_{v.label}" if v.op == "part" else ""
            if v.op in ("getitem", "part") and v.label and v.inputs[0].label in (v.label, f"pre_{v.label}"):
                v.label = ""
        for i, v in enumerate(body.outputs):
            v.label = v.label or (body.output_name(i) if v in body.values else "")
        after = {v for v in body.new_states if v.label in self.states}
        groups: dict[str, list[Value]] = {}
        for v in body.values:
            if v.label and v not in after:
                groups.setdefault(v.label, []).append(v)
        for label, group in groups.items():
            for k, v in enumerate(group):
                shared = label in self.taken or k + 1 < len(group)
                self._own(v, shared and _product(v) or label)


def unnamed(c: Value, body: Body) -> str:
    """The name of a constant that has none."""
    return "made" if body.is_made(c) else "w"


def _weight(c: Value, body: Body) -> str:
    """The name of a weight; with that of its layer where several layers of the step have one of this name."""
    tensor, several = body.tensors.get(c), [other for other in body.constants if other.label == c.label]
    path = tensor.path.split("/") if isinstance(tensor, Variable) else []
    return "_".join(path[-2:]) if len(several) > 1 and len(path) > 1 else c.label or unnamed(c, body)


def _product(v: Value) -> str:
    """What is multiplied in a product, or one with a bias: `x_kernel` for `x @ kernel + bias`, `r_h` for `r * h`."""
    if v.op in ("matmul", "multiply") and len(v.inputs) == 2:
        left, right = v.inputs
        return f"{left.label}_{right.label}" if left.label and right.label else ""
    products = [a for a in v.inputs if a.op == "matmul" and not a.label] if v.op == "add" else []
    others = [a for a in v.inputs if a not in products]
    if len(products) != 1 or any(a.op in ("x", "state") for a in ancestors(others)):
        return ""
    return _product(products[0])


def description(v: Value) -> str:
    """What an op does to something that has a name: `tanh_c`, `one_minus_z`, `h_minus_n`."""
    op, of = KIN.get(v.op, v.op), [a.label if isinstance(a, Value) else {1.0: "one"}.get(a) for a in v.args]
    if op == "subtract" and all(of):
        return f"{of[0]}_minus_{of[1]}" if len(f"{of[0]}{of[1]}") <= 12 else ""
    if not row_by_row(v) or len(of) != 1:
        return ""
    return f"{op}_{of[0]}" if of[0] else "" if op in UFUNCS else op


class Naming:
    """Names what a layout has made."""

    def __init__(self, layout: Layout, names: Names) -> None:
        self.layout, self.names = layout, names
        self.members: dict[Value, list[Value]] = {}  # what each buffer holds, one after the other
        self.roots: dict[Value, Value] = {}
        self.sent: dict[Value, str] = {}  # what goes back to the step before, as what
        self.gradients = self._gradients()
        self.given: dict[Value, str] = {}
        self.weights_of = self._weights_of()
        made = [u for u in layout.forward_set if row_by_row(u) and len(u.args) == 1]
        self.activations = {u.label for u in made if u.label}
        for v in layout.order:
            root = layout.root(v)
            while is_only_part(root):
                root = layout.root(root.args[0].args[0])
            self.roots[v] = root
            self.members.setdefault(root, []).append(v)

    def of(self, v: Value) -> str:
        """A name for what a buffer holds in the end, in the region that computes a value."""
        weights = self.weights_of.get(v)
        self.given[v] = self.names.new(f"d{self.given[weights]}") if weights else self._of(v)
        return self.given[v]

    def _of(self, v: Value) -> str:
        if v.op == "fold":
            return self.names.new(f"{self._source_of(v.args[0])}_folded")
        if v.op == "carry":
            apart = any(u.label == v.label and self.layout.memory(u) is not v for u in self.layout.backward)
            return self.names.new(f"{v.label or 'carry'}_next" if apart else v.label or "carry")
        if v.op == "cotangent":
            return self.names.new(v.label)
        members, region = self.members.get(self.roots.get(v, v), [v]), self.layout.region
        here = [u for u in members if region.get(u) == region.get(v)]
        labelled = [u for u in here if u.label]
        named = v if v.op == "time_sum" or not labelled else labelled[-1]
        if named.label and len(named.args) == 1 and named.inputs and named.inputs[0].label == named.label:
            wish = f"{KIN.get(named.op, named.op)}_{named.label}"
            return self.names.new(f"{wish}_block" if wish in self.names.owners else wish)
        if named.label and here[-1] is not named and not here[-1].label:  # what was written over it decides
            return self.names.new(self._afterwards(named.label, here[-1]))
        gradient = next((self.gradients[u] for u in here if u in self.gradients), "")
        return self.names.of(
            named,
            self._parts(here[-1])
            or description(named)
            or gradient
            or self._term(here[-1])
            or self._before_activation(here[-1])
            or "tmp",
        )

    def _before_activation(self, v: Value) -> str:
        """A name for what nothing but an activation with a name reads, as its gradient has: `pre_h`."""
        user = only_user(v, self.layout.users)
        if user is None or not user.label or v not in self.layout.forward_set:
            return ""
        activates = user.op in OPS and row_by_row(user) and len(user.args) == 1
        return f"pre_{user.label}" if activates else ""

    def _source_of(self, v: Value) -> str:
        """The name of a weight, or of that of which it is a part, with the number of the part."""
        if v.op == "getitem" and not v.label:
            number = v.attrs["index"]
            return "_".join([self._source_of(v.args[0]), *[str(number)] * isinstance(number, int)])
        return self.given.get(v) or v.label or "weights"

    def _gradients(self) -> dict[Value, str]:
        """Names for what is returned, or is added up to it."""
        program = self.layout.program
        for carries, parts in zip(program.adjoint.carries, program.adjoint.states, strict=True):
            self.sent |= {part: carry.label for part in parts for carry in carries[:1]}
        found = {part: f"{label}_before" for part, label in self.sent.items()}
        # what a pass made up has no name
        for name, parts in zip(self.names.constants, program.adjoint.constants, strict=False):
            found |= dict.fromkeys(parts, f"d{name}" if len(parts) == 1 else f"d{name}_part")
        return found

    def _weights_of(self) -> dict[Value, Value]:
        """Of which stacked weights a sum is the gradient: of those that are made of what it is cut into."""
        program, found = self.layout.program, {}
        constants, gradients = program.body.constants, program.adjoint.constants
        made_of = {
            v: ancestors([v]).intersection(constants)
            for v in self.layout.forward
            if (v.op, v.label) == ("concatenate", "weights")
        }
        for v in self.layout.backward:
            if (v.op, v.label) == ("time_sum", "dweights"):
                parts = dependents(self.layout.backward, [v])
                of = {c for c, sent in zip(constants, gradients, strict=False) if not parts.isdisjoint(sent)}
                fit = [w for w, those in made_of.items() if those <= of]
                if len(fit) == 1:
                    found[v] = fit[0]
                else:
                    v.label = "sums"
        return found

    def _afterwards(self, label: str, v: Value) -> str:
        """A name for what an op without a name has made of a quantity with one, in its place."""
        if label.removeprefix("d") in self.activations and v not in self.layout.forward_set:
            return f"dpre_{label.removeprefix('d')}"
        if len(v.args) == 1:
            return f"{KIN.get(v.op, v.op)}_{label}"
        others = [a.label for a in v.inputs if a.label and a.label != label]
        return "_".join([label, WORDS.get(v.op, v.op), *others[:1]])

    def of_view(self, v: Value, base: Place) -> str:
        """A name for what shows the buffer `base` in another way."""
        held = [u for u in self.members.get(v, [v]) if u.label]
        if v.op == "transpose" and v.label and v.label in [a.label for a in v.args[0].inputs]:
            return self.names.new(f"{v.label}_blocks")
        seen = f"{base.name}_{'T' if v.op == 'transpose' else 'view'}"
        return self.names.of(held[-1] if held else v, self._before_activation(v) or seen)

    def _parts(self, v: Value) -> str:
        """The names of the parts into which a value is split, or of which it is made, if they are short."""
        users = [u for u in self.layout.users.get(v, []) if u in self.layout.forward_set]
        while len(users) == 1 and users[0].op in ("reshape", "transpose"):
            users = self.layout.users.get(users[0], [])
        parts = [p for u in users if u.op in ("split", "unstack") for p in self.layout.users.get(u, [])]
        parts += v.inputs if v.op == "concatenate" else []
        labels = dict.fromkeys(self._name_in_step(p) for p in parts)
        text = "_".join(labels)
        return text if all(labels) and len(text) <= 16 else ""

    def _term(self, v: Value) -> str:
        """The name of one of two terms of a gradient, or of its factor: `dh_part`, `dc_by_dh`."""
        total, base = only_user(v, self.layout.users), ""
        if total is not None and total.op == "multiply" and not total.label:
            base = "".join(self._shown(a) for a in total.inputs if a is not v)
            total = only_user(total, self.layout.users) if base else None
        while total is not None and total.op == "add" and not total.label:
            outer = only_user(total, self.layout.users)
            if outer is None or outer.op != "add":
                break
            total = outer
        if total is None or total.op not in ("add", "concatenate") or total in self.layout.forward_set:
            return ""
        label = self._shown(total)
        return label and (f"{label}_by_{base}" if base else f"{label}_part")

    def _shown(self, v: Value) -> str:
        """The label of a value, or of the gradient that the step before gets, or the step after has sent a part of."""
        arrived = [a.label for a in v.inputs if (v.op, a.op) == ("add", "carry")]
        return v.label or self.sent.get(v, "") or (arrived[0] if arrived else "")

    def _name_in_step(self, v: Value) -> str:
        labels = [u.label for u in self.members.get(v, [v]) if u.label]
        return labels[-1] if labels else ""
