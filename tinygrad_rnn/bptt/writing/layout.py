"""Where each value lives: one buffer for all steps, or one that every step uses again; and which share one.

Values are written where they are needed: gates over their pre-activations, gate gradients inside the buffer of
their concatenation, a new state straight into the stacked states.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.op import OPS
from ..step.body import Value
from ..step.schedule import Program
from ..step.text import KIN, is_view, row_by_row
from ..step.walks import users_of


@dataclass
class Place:
    """A buffer (or a view of one): its name, whether it holds all steps, and by how many steps it is shifted."""

    name: str
    kind: str  # "stack": all steps; "ring": the last two; "temp": one step; "once": no steps
    shift: int = 0
    contiguous: bool = True
    long: bool = False  # T + 1 steps: a state, before and after

    @property
    def whole(self) -> str:
        """All steps as one array, if they are kept."""
        return f"all_{self.name}" if self.kind == "stack" else self.name


def is_only_part(v: Value) -> bool:
    """Whether a value is the only part of a split: all of what was split."""
    return v.op == "part" and v.args[0].op == "split" and len(v.args[0].shape) == 1


class Layout:
    """Decides for every value of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.forward, self.backward = program.forward.all(), program.backward.all()
        self.forward_set = set(self.forward)
        self.order = {v: i for i, v in enumerate([*self.forward, *self.backward])}
        self.users = users_of(self.order, [])
        self.region: dict[Value, str] = {}
        for prefix, regions in (("f", program.forward), ("b", program.backward)):
            for name in ("before", "loop", "after"):
                self.region |= dict.fromkeys(getattr(regions, name), f"{prefix}-{name}")
        self.in_rows = {a for v in self.forward if v.op == "rows" for a in v.inputs}
        self.same: dict[Value, Value] = {}  # written over
        self.born: dict[Value, tuple[Value, int]] = {}  # inside the buffer of a concatenation, as part number
        self.pieces: dict[Value, list[Value]] = {}  # what was born inside a concatenation
        self.state_of: dict[Value, int] = {}  # written into the stacked states
        self.carry_of: dict[Value, Value] = {}  # written into the buffer of a carry
        self.ends = {*program.body.ends, *program.adjoint.ends}  # must not be overwritten by later values
        self._states()
        self._joins()
        self._overwrites()
        self._carries()
        self.stacked = self._stacked()
        self._reuse()

    # --- who is written where -----------------------------------------------------------------------

    def _states(self) -> None:
        for j, v in enumerate(self.program.body.new_states):
            if self.region.get(v) == "f-loop" and not is_view(v) and v not in self.state_of:
                self.state_of[v] = j

    def _joins(self) -> None:
        for joined in self.order:
            if joined.op not in ("concatenate", "stack", "beside") or joined in self.program.once:
                continue
            for k, a in enumerate(joined.args):
                if (
                    isinstance(a, Value)
                    and a.op != "state"
                    and self.region.get(a) == self.region[joined]
                    and not is_view(a)
                    and all(self.order[u] >= self.order[joined] for u in self.readers(a) if u is not _NEVER)
                    and a not in self.ends
                    and a.dtype == joined.dtype
                    and a not in self.born
                    and a.op not in ("zeros", "time_sum")
                ):
                    self.born[a] = (joined, k)
                    self.pieces.setdefault(joined, []).append(a)

    def _overwrites(self) -> None:
        # a choice of states first: it copies what is not there already
        for v in sorted(self.order, key=lambda v: v.op != "where" or v not in self.state_of):
            if not row_by_row(v) or v.attrs.get("own") or self._in_rows(v):
                continue
            here = self.region[v]
            near = sorted(
                v.inputs, key=lambda a: (a.op != "carry") + (a.op != "carry" and self.region.get(a) != here)
            )
            # what the step before needs: rather in the buffer of its carry than over what came before the loop
            if here == "b-loop" and self._leads_back(v):
                near = [a for a in near if a.op == "carry" or self.region.get(a) == here]
            for a in v.inputs if self._needs_all(v) else near:
                if v not in self.same and self._may_overwrite(a, v):
                    if v in self.state_of:  # the argument goes where the result has to be
                        self.state_of[a] = self.state_of.pop(v)
                    if v in self.born:
                        self.born[a] = self.born.pop(v)
                    self.same[v] = a
                    break

    def _leads_back(self, v: Value) -> bool:
        """Whether a value is what the step before gets, or is computed for that alone, element by element."""
        sent, users = self.program.adjoint.sent, self.users.get(v, [])
        if v in sent or len(users) != 1:
            return v in sent and not users
        (user,) = users
        return user in sent and row_by_row(user) and not self.users.get(user)

    def _in_rows(self, v: Value) -> bool:
        """Whether a value goes into columns of rows: only what has to; ops on one piece of memory are faster."""
        in_rows = v in self.state_of and self.program.body.states[self.state_of[v]] in self.in_rows
        return in_rows and v.op != "where"

    def works_in_argument(self, v: Value) -> bool:
        """Whether all statements of an op but the last write over its argument: columns of rows are slow."""
        if not self._in_rows(v) or KIN.get(v.op, v.op) not in ("sigmoid", "softmax"):
            return False
        (a,) = v.inputs
        alike = (a.shape, a.dtype, self.region.get(a)) == (v.shape, v.dtype, "f-loop")
        return alike and not is_view(a) and self._dead_after(a, v)

    def placed(self, v: Value) -> bool:
        """Whether the place of a value is given already."""
        return v in self.state_of or v in self.born or is_view(v) or v in self.same or v in self.carry_of

    def _may_overwrite(self, a: Value, v: Value) -> bool:
        if a.shape != v.shape or a.dtype != v.dtype or a in self.program.once or v in self.program.once:
            return False
        if a.op not in OPS and a.op not in ("part", "carry", "cotangent", *KIN):
            return False
        if self.memory(a).op == "carry" and (self.region[v] != "b-loop" or self._needs_all(v)):
            return False
        if a.op == "part" and a.args[0].attrs["axis"] > 0:
            return False  # columns of a matrix: what is computed from them is better kept in one piece
        if self.placed(v):  # then the argument has to be free to go there
            if a.op == "carry" or self.placed(a) or self.region.get(a) != self.region.get(v):
                return False
        return self._dead_after(a, v)

    def root(self, v: Value) -> Value:
        """The value in whose place a value is written."""
        while v in self.same:
            v = self.same[v]
        return v

    def memory(self, v: Value) -> Value:
        """Whose buffer a value lies in, also as a view of it."""
        while v in self.same or is_view(v):
            v = self.same[v] if v in self.same else v.args[0]
        return v

    def _dead_after(self, a: Value, v: Value) -> bool:
        """Whether nobody reads the memory of `a` after `v`."""
        if (a in self.forward_set) != (v in self.forward_set):
            return False
        if a in self.ends or any(not self._before(u, v) for u in self.readers(a) if u is not v):
            return False
        child = a
        while is_view(child) or child in self.same:
            parent = child.args[0] if is_view(child) else self.same[child]
            if child.op == "broadcast_to" or parent in self.program.once:
                return False
            if is_view(child):
                if parent.op in ("split", "unstack"):
                    child, parent = parent, parent.args[0]
                if parent.op not in OPS and parent.op != "part":
                    return False
                root = self.root(parent)
                if parent in self.ends or root in self.state_of:
                    return False
                if root in self.born and self.born[root][0].op != "beside":
                    return False
                parts = [u for piece in self._pieces_of(parent) for u in self._users_of(piece)]
                others = [u for o in self.users.get(parent, []) if o is not child for u in self._through(o)]
                if any(not self._before(u, v) for u in (*parts, *others) if u is not parent):
                    return False
            child = parent
        return (child in self.forward_set) == (v in self.forward_set)

    def readers(self, a: Value) -> list[Value]:
        """The ops that read the memory of `a`: through views of it, inside a concatenation, or of its parts."""
        found = self._users_of(a)
        for piece in self._pieces_of(a):
            found += [u for u in self._users_of(piece) if u is not a]
        inside = self.root(a)
        while inside in self.born:
            inside = self.born[inside][0]
            found += [*self._users_of(inside), *[_NEVER] * (inside in self.ends)]
        return found

    def _pieces_of(self, joined: Value) -> list[Value]:
        """What was born inside a concatenation, or inside one that was born there."""
        own = self.pieces.get(joined, [])
        return [*own, *[inner for piece in own for inner in self._pieces_of(piece)]]

    def _users_of(self, a: Value) -> list[Value]:
        return [reader for u in self.users.get(a, []) for reader in self._through(u)]

    def _through(self, u: Value) -> list[Value]:
        """The op itself; of a view, those that read its memory."""
        return [*self.readers(u), *[_NEVER] * (u in self.ends)] if is_view(u) else [u]

    def _before(self, u: Value, v: Value) -> bool:
        return u is not _NEVER and self.order[u] < self.order[v]

    def _carries(self) -> None:
        """Let the new value of a carry be written over the old one, where that is read no more."""
        adjoint = self.program.adjoint
        ends = adjoint.sent
        passed = {self.memory(v) for v in ends}
        for carries, parts in zip(adjoint.carries, adjoint.states, strict=True):
            for carry, v in zip(carries, parts, strict=False):
                if self.region.get(v) != "b-loop" or is_view(v) or ends.count(v) > 1 or v in self.born:
                    continue
                if carry in passed and self.memory(v) is not carry:  # another state is given it as it is
                    continue
                if v in self.same:
                    root = self.root(v)
                    if root.op == "carry" or self.placed(root) or self.region.get(root) != "b-loop":
                        continue
                    v = root
                if v in self.pieces:  # its parts are written earlier, while the old carry may still be read
                    continue
                in_carry = [u for u in self.order if u is not v and self.memory(u) is carry]
                readers = self.readers(carry) + [r for u in in_carry for r in self.readers(u)]
                members = [u for u in self.order if self.root(u) is v]
                if all(self.order[r] <= self.order[v] for r in readers if r is not _NEVER) and not (
                    v.op not in ("multiply", "add") and any(r is v for r in readers)
                ):
                    if not any(self._needs_all(u) for u in (*members, *in_carry)):
                        self.carry_of[v] = carry

    def _reuse(self) -> None:
        """Let gradients of all steps take the memory of what only the forward pass reads."""
        of_all = [v for v in self.backward if self._may_reuse(v)]
        held: dict[Value, list[Value]] = {}  # what lies in which memory
        for v in self.forward if of_all else ():
            held.setdefault(self.memory(v), []).append(v)
        free = [a for a, inside in held.items() if self._only_forwards(a, inside)]
        for v in of_all:
            fits = [a for a in free if (a.shape, a.dtype) == (v.shape, v.dtype)]
            if fits:
                self.same[v] = fits[0]
                free.remove(fits[0])

    def _may_reuse(self, v: Value) -> bool:
        """Whether a value of the backward pass has memory for all steps to itself, all of which it writes."""
        if v not in self.stacked or self.region[v] == "b-after" or self.placed(v):
            return False
        return v.op == "concatenate" or row_by_row(v) and not v.attrs.get("own")

    def _only_forwards(self, a: Value, inside: list[Value]) -> bool:
        """Whether memory for all steps is read by ops of the forward pass alone."""
        users = [u for v in inside for u in self.users.get(v, ())]
        return (
            self.region.get(a) == "f-before"
            and a.op in OPS
            and not (a in self.program.once or a in self.pieces or self.placed(a))
            and self.ends.isdisjoint(inside)
            and self.forward_set.issuperset(users)
        )

    # --- all steps, or one --------------------------------------------------------------------------

    def _needs_all(self, v: Value) -> bool:
        """Whether a value of the loop is read outside of it."""
        here = self.region.get(v, "")
        if not here.endswith("loop") or v in self.program.body.outputs or v in self.program.adjoint.xs:
            return True
        users = [*self.users.get(v, []), *self.readers(v)]
        return any(u is _NEVER or self.region[u] != here for u in users)

    def _stacked(self) -> set[Value]:
        found: set[Value] = set()
        for v in self.order:
            if v not in self.program.once and v.op != "zeros" and self._needs_all(v):
                stack = [v]
                while stack:
                    u = stack.pop()
                    if u in found or u in self.program.once:
                        continue
                    found.add(u)
                    if is_view(u):
                        stack.append(u.args[0])
                    if u in self.same:
                        stack.append(self.same[u])
                    if u in self.born:
                        stack.append(self.born[u][0])
        return found


_NEVER = Value("never", (), {}, (), None)
