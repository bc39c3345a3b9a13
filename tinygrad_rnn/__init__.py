"""tinygrad_rnn: recurrent networks on a small autodiff engine that can be read in an afternoon."""
from . import config, ops
from .config import debug_nans, enable_grad, epsilon, floatx, no_grad, set_floatx
from .core.autodiff import custom_gradient, grad, hvp, jacobian, stop_gradient, value_and_grad
from .core.tensor import Tensor, Variable, tensor
