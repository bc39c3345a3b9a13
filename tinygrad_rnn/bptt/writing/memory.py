"""The memory of a source: arrays, views and lists that are made once for each shape, by its function `new_cache`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from textwrap import wrap

WIDTH = 110

# Arrays of NumPy begin at multiples of 16 bytes, and large ones never at one of 64. In parts of the time with them,
# training steps of RNN, LSTM and GRU took, by (batch, steps, inputs, units): (1, 100, 65, 64) 0.96, 1.00, 0.96;
# (16, 50, 65, 128) 0.94, 0.87, 0.89; (32, 64, 128, 256) 0.94, 0.92, 0.88 (AVX-512, one thread).
EMPTY = '''
def empty(shape, dtype):
    """An array that begins at a multiple of 64 bytes, where processors read several numbers at once fastest."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)'''


class Memory:
    """What `new_cache` makes, and what of it the other functions read."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}  # arrays, views and lists: name -> expression
        self.fixed: dict[str, str] = {}  # arrays that the step makes: name -> expression
        self.filled: list[str] = []  # statements that write what never changes
        self.numbers: dict[str, str] = {}  # number -> the name of an array that holds it

    def view(self, name: Callable[[], str], expression: str, prefix: str = "") -> str:
        """The name of a view, without its prefix; a view that is there already is not made again."""
        for known, same in self.made.items():
            if same == expression:
                return known.removeprefix(prefix)
        made = name()
        self.made[f"{prefix}{made}"] = expression
        return made

    def read_in(self, lines: Iterable[str]) -> list[str]:
        """Which names some lines of the source read."""
        text = re.sub(r'  #.*|"[^"]*"', "", "\n".join(lines))
        words = set(re.findall(r"[A-Za-z_]\w*", text))
        return [n for n in (*self.made, *self.fixed, *self.numbers.values()) if n in words]

    def function(self, arguments: str, sizes: str, groups: dict[str, list[str]]) -> list[str]:
        """The text of `new_cache`, which returns groups of names; those that stand in no group serve for views only."""
        arrays = {n: e for n, e in self.made.items() if e.startswith(("empty(", "np.zeros("))}
        lists = {n: e for n, e in self.made.items() if e.startswith("list(")}
        turns = {n: e for n, e in self.made.items() if e.startswith("[empty(")}
        views = {n: e for n, e in self.made.items() if not any(n in of for of in (arrays, lists, turns))}
        of_all_steps = {n: e for n, e in arrays.items() if "((T" in e}
        of_one = {n: e for n, e in arrays.items() if n not in of_all_steps}
        read = {name for names in groups.values() for name in names}
        used = read | set(re.findall(r"[A-Za-z_]\w*", " ".join([*views.values(), *self.filled])))
        shown = [f"{n} = {e}" for n, e in views.items() if n in used or not e.isidentifier()]
        numbers = [f"{n} = np.asarray({v}, dtype)" for v, n in self.numbers.items() if n in read]
        lines = [
            *_section("for all steps", [*_by_shape(of_all_steps), *self.filled]),
            *_section("for one step, or once", _by_shape(of_one)),
            *_section("two arrays by turns: no earlier step is needed", _by_shape(turns)),
            *_section(
                "what the step makes itself", [f"{n} = {e}" for n, e in self.fixed.items() if n in read]
            ),
            *_section("views, and names for what is written over something else", shown),
            *_section("their steps, one by one", self._lists(lists)),
            *_section("numbers, in the form that NumPy takes fastest", numbers),
            *_section("", [line for group, of in groups.items() for line in listed(of, f"{group} = ")]),
        ]
        return [
            f"def new_cache({arguments}):",
            '    """The arrays that forward and backward compute in, for sequences of this shape."""',
            f"    {sizes}",
            *(f"    {line}".rstrip() for line in lines),
            f"    return {', '.join(groups)}",
        ]

    def _lists(self, lists: dict[str, str]) -> list[str]:
        """One statement for all lists; those of one array are one, as NumPy is slow to see that two views are the same.

        An elementwise call whose result goes over an argument takes half as long again where these are two objects.
        """
        wholes = {name: e.removeprefix("list(").removesuffix(")") for name, e in lists.items()}
        made = {whole: name for name, whole in wholes.items()}
        arrays = {name: self._array(whole) for name, whole in wholes.items()}
        first = {array: made.get(array, name) for name, array in reversed(arrays.items())}
        same = [f"{name} = {first[array]}" for name, array in arrays.items() if first[array] != name]
        lists = {name: arrays[name] for name in lists if first[arrays[name]] == name}
        if len(lists) < 2:
            return [*(f"{name} = list({array})" for name, array in lists.items()), *same]
        names, made_of = list(lists), list(lists.values())
        short = f"{', '.join(names)} = map(list, ({', '.join(made_of)}))"
        if len(short) <= WIDTH - 4:
            return [short, *same]
        return ["(", *_indented(names), ") = map(list, (", *_indented(made_of), "))", *same]

    def _array(self, name: str) -> str:
        """The array that a name stands for, where it was made as another name."""
        while self.made.get(name, "").isidentifier():
            name = self.made[name]
        return name


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", *[f"# {title}"] * bool(title), *lines] if lines else []


def _by_shape(arrays: dict[str, str]) -> list[str]:
    """One statement for all arrays of a shape."""
    names: dict[str, list[str]] = {}
    for name, expression in arrays.items():
        names.setdefault(expression, []).append(name)
    lines: list[str] = []
    for e, same in names.items():
        if len(same) == 1:
            lines.append(f"{same[0]} = {e}")
        else:
            lines += listed(same, after=f" = ({e} for _ in range({len(same)}))")
    return lines


def listed(names: list[str], before: str = "", after: str = "") -> list[str]:
    """A tuple of names between other text, over as many lines as it takes."""
    inner = f"({names[0]},)" if len(names) == 1 else ", ".join(names) or "()"
    if len(before + inner + after) <= WIDTH - 4:
        return [before + inner + after]
    return [f"{before}(", *_indented(names), f"){after}"]


def _indented(names: list[str]) -> list[str]:
    lines = wrap(", ".join(names) + ",", WIDTH - 9, break_long_words=False)
    return [f"    {line}" for line in lines]
