"""Names for buffers and views: of the quantities of a step that they hold, or of what those are parts of."""

from __future__ import annotations

from ..step.body import Value
from .layout import Layout, Place, is_whole
from .names import KIN, Names, description

WORDS = {"add": "plus", "subtract": "minus", "multiply": "times", "divide": "over"}


class Naming:
    """Names what a layout has made."""

    def __init__(self, layout: Layout, names: Names) -> None:
        self.layout, self.names = layout, names
        self.members: dict[Value, list[Value]] = {}  # what each buffer holds, one after the other
        self.roots: dict[Value, Value] = {}
        self.gradients = self._gradients()
        for v in layout.order:
            root = layout._buffer(v)
            while is_whole(root):
                root = layout._buffer(root.args[0].args[0])
            self.roots[v] = root
            self.members.setdefault(root, []).append(v)

    def of(self, v: Value) -> str:
        """A name for what a buffer holds in the end, in the region that computes a value."""
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
            named, self._parts(here[-1]) or description(named) or gradient or self._term(here[-1]) or "tmp"
        )

    def _gradients(self) -> dict[Value, str]:
        """Names for what is returned, or is added up to it."""
        program = self.layout.program
        found: dict[Value, str] = {}
        for state, parts in zip(program.body.states, program.adjoint.states, strict=True):
            found |= dict.fromkeys(parts, f"d{state.label}_before")
        # what a pass made up has no name
        for name, parts in zip(self.names.constants, program.adjoint.constants, strict=False):
            found |= dict.fromkeys(parts, f"d{name}" if len(parts) == 1 else f"d{name}_part")
        return found

    def _afterwards(self, label: str, v: Value) -> str:
        """A name for what an op without a name has made of a quantity with one, in its place."""
        if label.startswith("d") and not label.startswith("dpre_") and v not in self.layout.forward_set:
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
        return self.names.of(held[-1] if held else v, f"{base.name}_{'T' if v.op == 'transpose' else 'view'}")

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
        total, base = self._only_user(v), ""
        if total is not None and total.op == "multiply" and not total.label:
            base = "".join(self._shown(a) for a in total.inputs if a is not v)
            total = self._only_user(total) if base else None
        while total is not None and total.op == "add" and not total.label:
            outer = self._only_user(total)
            if outer is None or outer.op != "add":
                break
            total = outer
        if total is None or total.op not in ("add", "concatenate") or total in self.layout.forward_set:
            return ""
        label = self._shown(total)
        return label and (f"{label}_by_{base}" if base else f"{label}_part")

    def _shown(self, v: Value) -> str:
        """The label of a value, or of the carry in whose memory it lies."""
        buffer = self.layout._buffer(v)
        return v.label or self.layout.carry_of.get(buffer, buffer).label

    def _only_user(self, v: Value) -> Value | None:
        users = self.layout.users.get(v, [])
        return users[0] if len(users) == 1 else None

    def _name_in_step(self, v: Value) -> str:
        labels = [u.label for u in self.members.get(v, [v]) if u.label]
        return labels[-1] if labels else ""
