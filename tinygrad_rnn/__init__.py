"""tinygrad_rnn: recurrent networks on a small autodiff engine that can be read in an afternoon.

The engine and the ops are imported at once, everything else when it is first used: importing this package
costs little more than importing NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import config, ops
from .absent import missing
from .config import (
    debug_nans,
    derived,
    enable_grad,
    epsilon,
    floatx,
    no_grad,
    set_epsilon,
    set_floatx,
    unrolled,
)
from .core.autodiff import grad
from .core.tensor import Tensor, Variable, tensor
from .core.trace import trace
from .core.transforms import custom_gradient, hvp, jacobian, stop_gradient, value_and_grad
from .denormals import set_flush_denormal
from .ops import random

if TYPE_CHECKING:
    from . import (
        activations,
        backend,
        callbacks,
        compare,
        constraints,
        datasets,
        initializers,
        layers,
        losses,
        manual,
        metrics,
        models,
        optimizers,
        preprocessing,
        regularizers,
        saving,
        utils,
        viz,
    )  # fmt: skip
    from .bptt import bptt_source, explain, scan
    from .compare import GradReport, ManualRecorder, check_gradients, compare_gradients
    from .initializers import Initializer
    from .layers import Input, Layer
    from .losses import Loss
    from .metrics import Metric
    from .models import Model, Sequential
    from .optimizers import Optimizer
    from .regularizers import Regularizer
    from .viz import (
        Drawing,
        Graph,
        Report,
        draw_graph,
        graph,
        inspect_graph,
        plot_activations,
        plot_cost_surface,
        plot_gradient_flow,
        plot_history,
        plot_input_gradients,
        step,
    )

__version__ = "0.1.0"

_MODULES = (
    "activations", "backend", "bptt", "callbacks", "compare", "constraints", "datasets", "initializers", "layers",
    "losses", "manual", "metrics", "models", "optimizers", "preprocessing", "regularizers", "saving", "utils", "viz",
)  # fmt: skip
_NAMES = {  # public name -> module it comes from
    "bptt_source": "bptt", "explain": "bptt", "scan": "bptt",
    "Initializer": "initializers", "Input": "layers", "Layer": "layers", "Loss": "losses", "Metric": "metrics",
    "Optimizer": "optimizers", "Regularizer": "regularizers",
    "Model": "models", "Sequential": "models",
    "Drawing": "viz", "Graph": "viz", "Report": "viz", "draw_graph": "viz", "graph": "viz", "inspect_graph": "viz",
    "step": "viz",
    "plot_activations": "viz", "plot_cost_surface": "viz", "plot_gradient_flow": "viz", "plot_history": "viz",
    "plot_input_gradients": "viz",
    "GradReport": "compare", "ManualRecorder": "compare", "check_gradients": "compare", "compare_gradients": "compare",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what was not needed until now."""
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _NAMES:
        return getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    missing(__name__, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, *_NAMES])


__all__ = [
    "Drawing", "GradReport", "Graph", "Initializer", "Input", "Layer", "Loss", "ManualRecorder", "Metric",
    "Model", "Optimizer", "Regularizer", "Report", "Sequential", "Tensor", "Variable", "activations",
    "backend", "bptt_source", "callbacks", "check_gradients", "compare", "compare_gradients", "config",
    "constraints", "custom_gradient", "datasets", "debug_nans", "derived", "draw_graph", "enable_grad",
    "epsilon", "explain", "floatx", "grad", "graph", "hvp", "initializers", "inspect_graph", "jacobian",
    "layers", "losses", "manual", "metrics", "models", "no_grad", "ops", "optimizers", "plot_activations",
    "plot_cost_surface", "plot_gradient_flow", "plot_history", "plot_input_gradients", "preprocessing",
    "random", "regularizers", "saving", "scan", "set_epsilon", "set_floatx", "set_flush_denormal", "step",
    "stop_gradient", "tensor", "trace", "unrolled", "utils", "value_and_grad", "viz",
]  # fmt: skip
