"""Writes the op reference, docs/ops.md, from the table of ops: `python docs/make_ops.py`."""

from __future__ import annotations

import re
from pathlib import Path

import tinygrad_rnn.ops
from tinygrad_rnn.core.op import OPS, Op

PAGE = Path(__file__).parent / "ops.md"
HEAD = """# The ops

Written by `docs/make_ops.py` from the table that the engine itself uses: an op is one statement in
`tinygrad_rnn/ops`, with its kernel, its vector-Jacobian products and this line. g is the gradient of the loss with
respect to y; ∂x stands for that with respect to x. *Keeps* says what is kept for the backward pass.

```python
import tinygrad_rnn as tg

assert tg.ops.tanh.op.doc == "y = tanh x;  ∂x = g (1 − y²)"
```
"""


def keeps(op: Op) -> str:
    """What the vjps read, in words."""
    inputs = ["inputs"] if "x" in op.reads else [f"input {c}" for c in op.reads if c.isdigit()]
    return ", ".join(inputs + ["output"] * ("y" in op.reads)) or "nothing"


def page() -> str:
    """The text of the page: one table per file of ops."""
    sections: dict[str, list[str]] = {}
    for path in sorted(Path(tinygrad_rnn.ops.__file__).parent.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        names = re.findall(r'(?:primitive|elementwise)\(\s*"(\w+)"', source)
        if names:
            title = source.split('"""')[1].split("\n")[0].rstrip(".:")
            rows = [f"| `{n}` | {OPS[n].doc.replace('|', chr(92) + '|')} | {keeps(OPS[n])} |" for n in names]
            sections[f"## {path.name}: {title}"] = rows
    tables = [
        "\n".join([title, "", "| op | formula | keeps |", "|---|---|---|", *rows])
        for title, rows in sections.items()
    ]
    return HEAD + "\n" + "\n\n".join(tables) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
