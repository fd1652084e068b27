"""The objective of a model as compiled code, and what to do where there can be none."""

from collections.abc import Callable

import torch

from polytag.errors import ParameterError
from polytag.models.base import MultiLabelModel, Objective
from polytag.training.distributed import Sharded
from polytag.types import Batch


def compiled_objective(model: MultiLabelModel) -> Callable[[Batch], Objective]:
    """Return ``model.objective`` compiled by ``torch.compile``; the model itself stays as it is.

    What is compiled reads the model's own parameters, so that its weights, state dict and prediction are those of the plain model.

    Args:
        model: In one process.

    Raises:
        ParameterError: The model is spread over several processes, or (from the call of what is returned too) this Python, machine or
            model cannot be compiled.

    Cost: nothing until the first batch, which is compiled on the way (seconds to minutes); so is the first of another size, from then on
        for all sizes. Models of one class and of the same sizes share what was compiled, so that the folds of a comparison pay once; beyond
        ``torch._dynamo.config.recompile_limit`` (8) different sizes in one process, PyTorch warns and runs the rest plainly.
    """
    if isinstance(model, Sharded):
        raise ParameterError("expected compile=False in several processes, but got True; leave it out, or train in one process")
    try:
        from torch._dynamo.exc import TorchDynamoException

        objective = torch.compile(model.objective)
    except (ImportError, RuntimeError) as error:
        raise ParameterError(_impossible(model, error)) from error

    def ask(batch: Batch) -> Objective:
        try:
            return objective(batch)
        except TorchDynamoException as error:  # nothing that the model's own code raises
            raise ParameterError(_impossible(model, error)) from error

    return ask


def _impossible(model: MultiLabelModel, error: Exception) -> str:
    """Say what failed and what to do."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return (
        f"expected a machine on which torch.compile works for {type(model).__name__}, but it failed ({reason}); install a C++ compiler "
        "(g++), or name one in the environment variable CXX (on a GPU: Triton and a C compiler), or train with compile=False"
    )
