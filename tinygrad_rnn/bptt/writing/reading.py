"""The source as it is printed: how to read it, and the numbers of equations in one column.

That is no part of what is compiled: making it would be a fifth of a first call, and sources of two batch sizes are
compared as they were written.
"""

from __future__ import annotations

import re
from textwrap import fill, wrap

from .backwards import HEADING
from .memory import WIDTH

NOTATION = (  # what has to be explained: a pattern that finds it, the term and its meaning, with what was found
    (r"\ball_(\w+)", "all_{1}", "{1} at all T steps; {1}[t] is one of them; a state has T + 1 of them"),
    (
        r"\b(rows(?:_\d+)?)\b",
        "{1}[t]",
        "side by side for one product: states before step t, 1 for the bias, inputs of step t, as far as it takes them",
    ),
    (
        r"\b(weights(?:_\d+)?)\b",
        "{1}",
        "what belongs to rows, below each other: weights of states, bias, weights of inputs",
    ),
    (
        r"\b((\w+)_without_bias)\b",
        "{1}",
        "{2} without its bias, which is added before the loop as far as that can be",
    ),
    (
        r"\b(?!all_)(\w+)_folded\b",
        "{0}",
        "{1}, gate by gate in the order and with the factors that activations need",
    ),
    (
        r"\breciprocal\((?s:.)*_folded\b|_folded\b(?s:.)*\breciprocal\(",
        "reciprocal",
        "ends a sigmoid, 1 / (1 + exp(−a)); the −1 is in what was folded",
    ),
    (
        r"\b(joined(?:_\d+)?)\b",
        "{1}[t]",
        "(batch, gates, units): what lies gate by gate in stack, put together example by example",
    ),
    (
        r"\bmultiply\((\w+)\[t\], (\w+)\[t\], out=(products(?:_\d+)?)\)",
        "{3}",
        "{1} times {2}: two products in one call, whose factors stand side by side; their sum follows",
    ),
    (
        r"\bmultiply\((\w+(?:\[t\])?), half, out=\1\).*\n\s*add\(\1, half, out=\1\)",
        "half",
        "sigmoid(z) is tanh(z / 2) / 2 + 1 / 2: NumPy is faster with tanh",
    ),
    (r"\b(\w+)_spread\b", "{0}", "{1} once for each example: NumPy is faster with two matrices"),
    (
        r"\b(\w*strips)\[\.\.\.\] = (.*)\.reshape\(\(\d+, (\d+), (\d+)\)\)",
        "{1}",
        "{2} in {3} strips of {4} columns: BLAS takes small matrices as they lie in memory",
    ),
    (
        r"\b(\w*strips)\[\.\.\.\] = (.*)\.reshape\(\((\d+), 1, \d+, (\d+), (\d+)\)\)",
        "{1}",
        "{2} in {3} parts below each other, each in {4} strips of {5} columns: BLAS takes small matrices as they lie "
        "in memory",
    ),
    (r"\b((\w+)_tiles)\b", "{1}", "{2}, a part of its rows and columns at a time"),
    (r"\b((\w+)_pieces)\b", "{1}", "the products with the parts of a weight, whose sum is {2}"),
    (r"\b((\w+)_T)\[\.\.\.\] = \2\.T", "{1}", "{2}.T in one piece: BLAS is faster with it, at every step"),
    (
        r"\b(\w+)_centred\b",
        "{0}",
        "{1} less the mean of each row, which normalization would take out of the product",
    ),
    (r"\b(?:all_)?((\w+?)_blocks)\b", "{1}", "{2} seen gate by gate: (gates, batch, units)"),
    (
        r"\b(columns(?:_\d+)?)\b",
        "{1}",
        "(units, batch): a product with the weight in front, which is faster here",
    ),
    (r"= np\.ones\(", "np.ones(…) @", "adds up over steps and examples: the sum that BLAS makes fastest"),
    (r"out=", "out=", "where a result goes, often over what has just been read"),
    (r"\b(?:all_)?d?(pre_(\w+?))(?:_by_d\w+)?\b", "{1}", "what {2} is the activation of"),
    (r"\b(?:all_)?((d\w+?)_by_(?!\2\b)(d\w+))\b", "{1}", "the factor of {3} in {2}"),
    (r"\b(?:all_)?((d\w+?)_by_\2)\b", "{1}", "the factor of {2} of step t in {2} of step t − 1"),
    (r"\b(?:all_)?((d\w+?)_part)\b", "{1}", "one of the terms of {2}, or a piece of it"),
    (r"\b((d\w+?)_before)\b", "{1}", "what step t sends back to step t − 1 as its {2}"),
    (r"\b(d(\w+)_next)\b", "{1}", "what step t + 1 sends back to {2}"),
    (r"# ", "(1), ∂(1)", "the equation that a line computes, a part of its derivative"),
)
COMMENTS = 78  # the column in which they begin
LONGEST = 120  # characters of a line
LONGEST_TERM = 24  # that has its meaning beside it
_HEAD = re.compile(r'^def .*?^    """$', re.M | re.S)  # of a function, with its docstring


def laid_out(text: str) -> str:
    """A source with an explanation of its notation, equations' numbers in one column, and no line too long."""
    introduction, end, functions = text.partition('\n"""\n')
    text = "\n".join([introduction, *_notation(introduction, functions)]) + end + functions
    numbered = re.compile(r"^(.*\S)  # (∂?\(\d.*)$", re.M)
    text = numbered.sub(lambda m: f"{m[1]:<{COMMENTS - 2}}  # {_shortened(m[2])}", text)
    text = re.sub(
        rf"^(?=.{{{LONGEST + 1},}}$)( *)(\S.*), (out=\S+\).*)$", r"\1\2,\n\1    \3", text, flags=re.M
    )
    equations = re.compile(rf"^(?=.{{{WIDTH + 1},}}$)    (?:∂?\(\d+\),? ?)+\S.*$", re.M)
    text = equations.sub(
        lambda m: fill(m[0], WIDTH, subsequent_indent=" " * 12, break_long_words=False), text
    )
    return re.sub(rf"^( +)(\S.{{{LONGEST - 12},}})$", _short, text, flags=re.M)


def _short(line: re.Match[str]) -> str:
    """A statement that is too long for a line over several: broken in its outermost brackets, if that will do."""
    indent, statement = line.groups()
    inner = f"{indent}    "
    if len(line[0]) <= LONGEST:
        return line[0]
    code, mark, comment = statement.partition("  # ")
    if not re.search(r"[(\[].*, ", code):
        name, sign, value = code.partition(" = " if " = " in code else ": ")  # a statement, or a result
        end = "," * value.endswith(",")
        return f"{indent}{name}{sign}(\n{inner}{value.removesuffix(',')}\n{indent}){end}{mark}{comment}"
    lines = [indent]
    *words, last = _words(code, LONGEST - len(inner))
    for word in [*words, last + mark + comment]:
        if len(lines[-1] + word.rstrip()) > LONGEST and lines[-1].strip():
            lines[-1] = lines[-1].rstrip()
            lines.append(inner)
        lines[-1] += word
    return "\n".join(lines)


def _words(code: str, width: int) -> list[str]:
    """Pieces of a statement that end at commas in its outermost brackets, and where they open; or further inside."""
    depth, words = 0, [""]
    for before, c in zip(f" {code}", code, strict=False):
        words[-1] += c
        depth += (c in "([") - (c in ")]")
        if depth == 1 and (c == "(" or (before, c) == (",", " ")):
            words.append("")
    if len(words) == 1:
        return words
    return [w for word in words for w in (_words(word, width) if len(word) > width else [word])]


def _shortened(numbers: str) -> str:
    """Three and more equations that follow each other by the first and the last: `(1)–(4)`.

    >>> _shortened("(1), (2), (3), (5), ∂(1), ∂(2)")
    '(1)–(3), (5), ∂(1), ∂(2)'
    """
    runs: list[list[str]] = []
    for one in numbers.split(", "):
        follows = re.sub(r"\d+", lambda m: str(int(m[0]) - 1), one)
        if runs and runs[-1][-1] == follows:
            runs[-1].append(one)
        else:
            runs.append([one])
    return ", ".join([f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs])


def _notation(introduction: str, functions: str) -> list[str]:
    """What has to be explained of the statements of `forward` and `backward`."""
    statements = _HEAD.sub("", functions.partition("\ndef new_cache(")[0])
    arguments = functions.partition("def forward(")[2].partition(":\n")[0]
    step = introduction.partition(f"\n{HEADING}\n")[0]
    users = set(re.findall(r"\b[A-Za-z_]\w*\b(?!\()", f"{step}({arguments}"))
    users |= {f"d{name}" for name in users}
    words = {word.removeprefix("all_") for word in re.findall(r"\w+", introduction + statements)}
    words |= {f"d{word}" for word in words}
    entries: dict[str, str] = {}
    for pattern, term, meaning in NOTATION:
        for found in re.finditer(pattern, statements):
            parts = (found[0], *found.groups())
            name, of = term.format(*parts), [p for p in parts[2:] if p.isidentifier()]
            # what a user has named so is something else, and `dpre_f_dn` is two side by side
            if name.removesuffix("[t]") not in users and words.issuperset(of):
                entries[name] = meaning.format(*parts)
                break
    # Of a state with a capital letter: the gradient of its last value, an argument, has the name first.
    for found in re.finditer(r"^    (d(\w+))_2\[\.\.\.\] = \1$", statements, re.M):
        last, state = found.groups()
        if not re.search(rf"\bthe last {state}\b", functions):
            continue
        entries = {term: re.sub(rf"\b{last}\b", f"{last}_2", meaning) for term, meaning in entries.items()}
        entries[f"{last}_2"] = (
            f"the gradient of {state} at a step; {last} is that of the last {state}, an argument"
        )
    column = max([15, *(len(term) for term in entries if len(term) <= LONGEST_TERM)])
    lines: list[str] = []
    for term, meaning in entries.items():
        if len(term) > column:
            lines.append(f"    {term}")
            term = ""
        entry = f"    {term:<{column}} {meaning}"
        lines += wrap(entry, WIDTH, subsequent_indent=" " * (column + 5), replace_whitespace=False)
    return ["", "How to read it:", *lines] if lines else []
