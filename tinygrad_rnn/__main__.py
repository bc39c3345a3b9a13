"""The command line: `tinygrad-rnn demo`, `sample`, `inspect` and `compare`.

Exit codes: 0 done, 1 a comparison found a difference, 2 bad usage or input (one line on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import __version__
from .compare.homework import compare_file
from .container import CheckpointError
from .demo import run
from .models import load_model
from .models.characters import CELLS, stream, vocabulary_of
from .viz import inspect_graph

_DESCRIPTION = """\
Recurrent networks on a small autodiff engine: train them, see their graphs,
check their gradients against the ones derived by hand."""

_DEMO = """\
Trains a character-level language model (Embedding -> LSTM -> Dense) on real
text and prints its loss on the part that was held out, beside that of a bigram
count model; prints a sample before and after. Then compares, for every
parameter of an RNN, LSTM, GRU and bidirectional RNN, the gradient derived by
hand, the one that falls out of the graph, and finite differences. Last, writes
the computation graph (folded and unrolled), the loss curve and the model into a
folder. Takes about a minute on two cores."""

_DEMO_EXAMPLES = """\
examples:
  tinygrad-rnn demo
  tinygrad-rnn demo --text shakespeare.txt --cell gru --epochs 3 --out shakespeare"""

_SAMPLE = """\
Goes on writing from a start, one character at a time, with a model that the
demo saved. A low temperature keeps to what is most probable (0: always the
most probable character), 1 samples as the model believes, above it gets wild."""

_SAMPLE_EXAMPLES = """\
examples:
  tinygrad-rnn sample demo_out/model.tgr --start "The " --length 400
  tinygrad-rnn sample demo_out/model.tgr --start "To be" --temperature 0.5 --seed 7"""

_INSPECT = """\
Runs a model that the demo saved over a text, takes the gradient of its loss,
and writes one HTML page with the graph, folded and unrolled, every value and
gradient over time, and the backward pass step by step. The page opens in any
browser and loads nothing else."""

_INSPECT_EXAMPLES = """\
examples:
  tinygrad-rnn inspect demo_out/model.tgr --text "The list" --out page.html"""


_COMPARE = """\
Checks an RNN, LSTM or GRU whose backward pass you derived by hand. FILE defines,
as functions or in a class,

vanilla RNN  forward(X, a0, parameters) -> (A, Y_hat, caches)
             backward(X, Y, parameters, caches) -> {dWax, dWaa, dWya, dba, dby}
LSTM         forward(X, h0, c0, params) -> (H, cache)
GRU          forward(X, h0, params) -> (H, cache)
both         backward(dH, cache) -> {dkernel, drecurrent_kernel, dbias}

Columns are examples: X is (n_x, m, T), states (n_h, m), H and dH (n_h, m, T).
LSTM and GRU have Keras's arrays: kernel (n_x, g n_h), recurrent_kernel
(n_h, g n_h), bias; the gates are i, f, c, o and z, r, n. A file that never says
recurrent_kernel gets them as W, U, b and returns {dW, dU, db}. The GRU may apply
the reset gate after the product (bias (2, 3 n_h)) or before it (bias (3 n_h,)),
and z may keep the old state or take the new one: the report says which it is.

The functions are called with random numbers, and everything that backward
computes is compared with automatic differentiation, step by step: the report
names the first step, quantity and line that is wrong, and what it looks like."""

_COMPARE_EXAMPLES = """\
examples:
  tinygrad-rnn compare my_bptt.py
  tinygrad-rnn compare my_bptt.py --time-limit 10"""


def _positive(text: str, lowest: int = 1) -> int:
    value = int(text) if text.isascii() and text.removeprefix("-").isdigit() else lowest - 1
    if value < lowest:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {lowest}, received {text}")
    return value


def _seed(text: str) -> int:
    return _positive(text, lowest=0)


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """End with code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser("tinygrad-rnn", description=_DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"tinygrad-rnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="train a language model, compare gradients, draw the graph", description=_DEMO,
        epilog=_DEMO_EXAMPLES, formatter_class=raw,
    )  # fmt: skip
    demo.add_argument("--text", metavar="FILE", help="UTF-8 text to learn (default: Python's own reference)")
    demo.add_argument("--cell", choices=list(CELLS), default="lstm", help="recurrent layer (default: lstm)")
    demo.add_argument("--units", type=_positive, default=128, metavar="N", help="its size (default: 128)")
    demo.add_argument(
        "--epochs", type=_positive, default=7, metavar="N", help="passes over the text (default: 7)"
    )
    demo.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="same seed, same result (default: 0)"
    )
    demo.add_argument(
        "--out", default="demo_out", metavar="DIR", help="folder for the results (default: demo_out)"
    )

    sample = commands.add_parser(
        "sample", help="write text with a trained model", description=_SAMPLE, epilog=_SAMPLE_EXAMPLES,
        formatter_class=raw,
    )  # fmt: skip
    sample.add_argument("model", metavar="MODEL", help="file that the demo saved (model.tgr)")
    sample.add_argument(
        "--start", default="\n", metavar="TEXT", help="text to go on from (default: a new line)"
    )
    sample.add_argument(
        "--length", type=_positive, default=400, metavar="N", help="characters to write (default: 400)"
    )
    sample.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0 and up (default: 0.8)")
    sample.add_argument("--seed", type=_seed, default=None, metavar="N", help="same seed, same text")

    compare = commands.add_parser(
        "compare", help="check a backward pass derived by hand", description=_COMPARE,
        epilog=_COMPARE_EXAMPLES, formatter_class=raw,
    )  # fmt: skip
    compare.add_argument("file", metavar="FILE", help="a Python file with forward and backward")
    compare.add_argument(
        "--time-limit", type=_positive, default=60, metavar="S", help="seconds it may take (default: 60)"
    )

    inspect = commands.add_parser(
        "inspect", help="open a trained model over a text, as a page", description=_INSPECT,
        epilog=_INSPECT_EXAMPLES, formatter_class=raw,
    )  # fmt: skip
    inspect.add_argument("model", metavar="MODEL", help="file that the demo saved (model.tgr)")
    inspect.add_argument(
        "--text", required=True, metavar="TEXT", help="what it reads, two characters or more"
    )
    inspect.add_argument("--out", default="page.html", metavar="FILE", help="the page (default: page.html)")
    return parser


def _compare(arguments: argparse.Namespace) -> int:
    code, text = compare_file(arguments.file, arguments.time_limit)
    print(
        f"tinygrad-rnn compare: {text}" if code == 2 else text, file=sys.stderr if code == 2 else sys.stdout
    )
    return code


def _inspect(arguments: argparse.Namespace) -> None:
    model = load_model(arguments.model, compile=False)
    vocabulary_of(model)
    print(inspect_graph(model, arguments.out, text=arguments.text))


def _sample(arguments: argparse.Namespace) -> None:
    model = load_model(arguments.model, compile=False)
    start = arguments.start
    if start == "\n" and start not in vocabulary_of(model):
        start = vocabulary_of(model).characters[0]
    characters = stream(model, start, arguments.temperature, arguments.seed)
    print(start, end="")
    for _ in range(arguments.length):
        print(next(characters), end="", flush=True)
    print()


def _one_line(error: Exception) -> str:
    """An error as one line; what the system says, with the file it says it of."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}"
    return " ".join(str(error).split())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a text may have characters that the terminal has not
    try:
        if arguments.command == "demo":
            run(
                arguments.text, seed=arguments.seed, epochs=arguments.epochs, units=arguments.units,
                cell=arguments.cell, out=arguments.out,
            )  # fmt: skip
        elif arguments.command == "compare":
            return _compare(arguments)
        elif arguments.command == "inspect":
            _inspect(arguments)
        else:
            _sample(arguments)
    except BrokenPipeError:  # `| head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (CheckpointError, ValueError, OSError, MemoryError) as error:
        print(f"tinygrad-rnn {arguments.command}: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
