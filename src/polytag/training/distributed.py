"""One stream of rows, several processes: each takes its part of every batch, and all see the logits of the whole batch.

Every process holds the same model, the same selector with the same seed, and runs the same ``Trainer``; only the model is wrapped::

    def job():
        model, selector = CLIF.from_data(table), Adaptive(table.labels, 128, x=table.dataset.X)
        return Trainer(epochs=100).fit(Sharded(model), table, selector, resume=Path("run.safetensors"))

    if __name__ == "__main__":
        launch(job, 4)
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from polytag.errors import ParameterError
from polytag.models.base import MultiLabelModel, Objective, of_one_number
from polytag.nn import pooled_statistics, seeded
from polytag.training.processes import place
from polytag.types import Batch


class Sharded(MultiLabelModel):
    """A model whose objective is computed by all processes together, each on its slice of the batch.

    ``objective`` takes the whole batch, keeps rows ``[rank * b / world, (rank + 1) * b / world)``, runs the model's own objective on them
    under ``DistributedDataParallel`` and returns the loss and parts of the whole batch (means over slices, weighted by their rows) and
    the logits of all rows in order. A selector told these logits learns what it would learn in one process, and draws the same rows.

    ``forward`` is that of the model: prediction and the look at candidates (``selector.screen``) happen in every process, in full.
    ``state_dict`` and ``param_groups`` are the model's own, so that a checkpoint does not know how many processes wrote it.

    Args:
        model: The model, the same in all processes; weights are taken from process 0.
        **ddp: Further arguments of ``DistributedDataParallel``, such as ``find_unused_parameters=True``.

    Raises:
        ParameterError: This process has not joined others; or, from ``objective``, the processes did not choose the same rows.

    Cost: on top of a slice's objective: one sum of the gradients, and the logits (b, q) once to every process.

    Differs: equal to one process up to the order of sums. Batch norm takes the statistics of the whole batch. What is random in the model
        (dropout, latent noise) is drawn in each process for its own slice. The mean over known labels is taken slice by slice, which
        differs from that over the batch where labels are unknown (NaN).
    """

    def __new__(cls, model: MultiLabelModel, **ddp: Any) -> Self:
        """Return an object whose class bears the name of the model's: by it a checkpoint knows its run, in one process or in many."""
        named: Self = super().__new__(type(type(model).__name__, (cls,), {"DEFAULTS": model.DEFAULTS, "PRESETS": model.PRESETS}))
        return named

    def __init__(self, model: MultiLabelModel, **ddp: Any) -> None:
        super().__init__()
        if not distributed.is_initialized():
            raise ParameterError("Sharded needs several processes; call it within launch(...) or joined()")
        self.model = model
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)
        self._parallel = [DistributedDataParallel(_ObjectiveOf(model), **ddp)]  # a list hides it from parameters()

    def __deepcopy__(self, memo: dict[int, Any]) -> MultiLabelModel:
        """Return a copy of the model alone: what joins the processes cannot be copied."""
        return copy.deepcopy(self.model, memo)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the model's logits of all rows given."""
        return self.model(x)  # type: ignore[no-any-return]

    def objective(self, batch: Batch) -> Objective:
        """Return the objective of the whole batch; its loss sends the gradients of all processes to each of them."""
        rank, world, b = distributed.get_rank(), distributed.get_world_size(), len(batch.rows)
        ends = [number * b // world for number in range(world + 1)]
        size = ends[rank + 1] - ends[rank]
        own = slice(ends[rank], ends[rank + 1]) if size else slice(0, 1)  # a process without rows computes one that counts for nothing
        with self._own_chance(rank, batch.rows.device), pooled_statistics(_stack, counts=size > 0):
            part = self._parallel[0](Batch._make(None if values is None else values[own] for values in batch))
        loss, parts = _means(part, batch.rows, size / b)
        logits = _gathered(part.logits.detach()[:size], [end - start for start, end in pairwise(ends)])
        return Objective(_valued(part.loss * (size * world / b), loss, self._parallel), logits, parts)

    def begin_epoch(self, epoch: int) -> None:
        """Tell the model."""
        self.model.begin_epoch(epoch)

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the model's own groups."""
        return self.model.param_groups(lr)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the model's own state."""
        return self.model.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load the model's own state."""
        return self.model.load_state_dict(*args, **kwargs)

    @contextmanager
    def _own_chance(self, rank: int, device: torch.device) -> Iterator[None]:
        """Give each process random numbers of its own, and leave torch's generator in the same state everywhere, ready to be saved."""
        if not self.training:
            yield
            return
        seed = int(torch.randint(2**62, ()))
        with seeded(seed + rank, device):
            yield


def shared(model: MultiLabelModel) -> MultiLabelModel:
    """Return the model as it is to be trained here: ``Sharded`` within ``launch`` or ``joined``, itself where one process works alone."""
    return model if place() is None else Sharded(model)


class _ObjectiveOf(nn.Module):
    """The objective as a forward pass, which is what ``DistributedDataParallel`` watches."""

    def __init__(self, model: MultiLabelModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Objective:
        return of_one_number(self.model.objective(batch))

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Tensor]]:
        """Show none: they change alike in all processes and need not be sent around at each step."""
        return iter(())


class _Valued(torch.autograd.Function):
    """A number that shows one value, sends its gradient to another, and keeps alive what adds the gradients up on the way back."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, value: Tensor, alive: object) -> Tensor:
        ctx.alive = alive
        return value.to(source, copy=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad, None, None


class _Stack(torch.autograd.Function):
    """The tensors of all processes, stacked; what goes back to each of them is the sum of all gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return torch.stack(_every(values))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[distributed.get_rank()]


def _valued(source: Tensor, value: Tensor, alive: object) -> Tensor:
    return _Valued.apply(source, value, alive)  # type: ignore[no-any-return, no-untyped-call]


def _stack(values: Tensor) -> Tensor:
    return _Stack.apply(values)  # type: ignore[no-any-return, no-untyped-call]


def _every(values: Tensor) -> list[Tensor]:
    """Return the tensors of all processes, which have one shape, in order."""
    every = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(every, values.contiguous())
    return every


def _means(part: Objective, rows: Tensor, share: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Return loss and parts of the whole batch, after checking that all processes mean the same batch.

    Raises:
        ParameterError: They do not.
    """
    places = torch.arange(1, len(rows) + 1, device=rows.device)
    batch = torch.stack([(rows * places).sum() % 2**52, places[-1]])
    values = torch.stack([value.detach().double() for value in (part.loss, *part.parts.values())])
    stacked = torch.stack(_every(torch.cat([batch.double(), share * values])))
    if (stacked[:, :2] != stacked[0, :2]).any():
        raise ParameterError(
            "expected the same batch in all processes, but they chose different rows; give each process the same data and the same "
            "selector, with the same seed and the same saved state"
        )
    loss, *parts = stacked[:, 2:].sum(dim=0).unbind()
    return loss, {name: mean.to(value.dtype) for (name, value), mean in zip(part.parts.items(), parts)}


def _gathered(own: Float[Tensor, "s q"], sizes: list[int]) -> Float[Tensor, "b q"]:
    """Return the rows of all processes in order; slices are padded to one length for the journey."""
    own = own.float() if own.dtype in (torch.float16, torch.bfloat16) else own
    padded = own.new_zeros(max(sizes), *own.shape[1:])
    padded[: len(own)] = own
    return torch.cat([rows[:size] for rows, size in zip(_every(padded), sizes)])
