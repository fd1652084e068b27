"""A density for each label: normalising flows that read the label as a condition, evaluated for all labels at once."""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.nn.labelwise import label_blocks

_EPS = 1e-6
"""Keeps the sum of the sigmoids away from 0 and 1, where its logit is infinite."""
_SCALE = 4
"""By how much smaller the blocks of labels are on a CPU, so that what is made of one of them stays in its caches."""
_PARTS = 4
"""Parts into which a CPU cuts the dimensions: each multiplies by the hidden units that may reach it, not by the zeros of all others."""
_KEPT = 2**24
"""Most values kept for the gradient: what is larger is computed again, which takes less time than fetching new memory for it."""


class ConditionalFlow(nn.Module):
    """Learns, for each label j, a density p(z | j) over vectors z, and returns all ``log p(z | j)`` of a batch.

    The flow maps z to a standard normal u in two steps, and ``log p = log N(u; 0, 1) + log |du / dz|``:

    1. ``u_i = logit(sum_m w_im sigmoid(a_im z_i + b_im))``, where ``a > 0``, b and the weights w (of sum 1) of dimension i come from a
       masked network that reads the label and the dimensions before i.
    2. ``u_i <- alpha_ji u_i + beta_ji``, by label, the identity at the start.

    Args:
        latent: Dimensions D of z.
        q: Number of labels.
        hidden: Hidden units h of the masked network.
        units: Sigmoids M of a dimension.

    Raises:
        ParameterError: A size is smaller than 1.

    Cost: O(b q (h P D / 2 + P D M)), where P = 3 max(1, h // D); memory O(b q D): beyond 64 MB the
        gradient computes the M sigmoids of a block of labels again instead of keeping them.

    Reference: Hang, Zhang, Feng and Song, "End-to-end probabilistic label-specific feature learning for multi-label classification", AAAI
        2022; the first step is Huang, Krueger, Lacoste and Courville, "Neural autoregressive flows", ICML 2018.

    Differs: P is at least 3. In the published code it is ``3 (h // D)``, so that the network has no output where D > h and the first step
        is the same for all labels and instances.

    Example:
        >>> ConditionalFlow(4, 3)(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    order: Tensor
    seen: Tensor
    reached: Tensor

    def __init__(self, latent: int, q: int, *, hidden: int = 256, units: int = 16) -> None:
        super().__init__()
        if min(latent, q, hidden, units) < 1:
            raise ParameterError(f"expected latent, q, hidden and units >= 1, but got {latent=}, {q=}, {hidden=}, {units=}")
        self.latent, self.slots = latent, 3 * max(1, hidden // latent)
        self.hidden = nn.Linear(latent, hidden)
        self.condition = nn.Linear(q, hidden)
        nn.init.kaiming_uniform_(self.condition.weight, a=math.sqrt(5))
        nn.init.zeros_(self.condition.bias)
        self.out = nn.Linear(hidden, self.slots * latent)
        self.shared = nn.Linear(self.slots, 3 * units)
        self.scale = LabelMap(q, latent, bias=math.log(math.e - 1))
        self.shift = LabelMap(q, latent, bias=0.0)
        degree = torch.arange(hidden) % max(latent - 1, 1) + 1  # a unit of degree r reads the first r dimensions
        # The units in the order of their degrees: what a dimension may read is then a slice.
        self.register_buffer("order", degree.argsort(stable=True), persistent=False)
        degree = degree[self.order]
        dimension = torch.arange(1, latent + 1)
        self.register_buffer("seen", dimension <= degree[:, None], persistent=False)
        self.register_buffer("reached", degree < dimension[:, None], persistent=False)
        self._reads: list[int] = self.reached.sum(dim=1).tolist()

    def forward(self, z: Float[Tensor, "b k"]) -> Float[Tensor, "b q"]:
        """Return ``log p(z | j)`` of every label j."""
        u, logdet = self._transform(z)
        return (logdet - u.square().sum(dim=0) / 2 - self.latent * math.log(2 * math.pi) / 2).T

    def transform(self, z: Float[Tensor, "b k"]) -> tuple[Float[Tensor, "b q k"], Float[Tensor, "b q"]]:
        """Return, for every label, the standard normal vector u that belongs to z, and ``log |du / dz|``."""
        u, logdet = self._transform(z)
        return u.permute(2, 1, 0), logdet.T

    def _transform(self, z: Tensor) -> tuple[Float[Tensor, "k q b"], Float[Tensor, "q b"]]:
        with torch.autocast(z.device.type, enabled=False):  # logarithms of densities need the digits
            *given, mix, mix_bias = self._network(z.to(self.hidden.weight.dtype))
            values = 2 * self.shared.out_features * z.numel() * self.condition.in_features
            keeps = torch.is_grad_enabled() and values <= _KEPT
            u, logdet = _Autoregressive.apply(*given, mix, mix_bias, self._parts(z), keeps)  # type: ignore[no-untyped-call]
            scale, shift = functional.softplus(self.scale().T), self.shift().T
            return torch.addcmul(shift[:, :, None], u, scale[:, :, None]), logdet + scale.log().sum(dim=0)[:, None]

    def _network(self, z: Tensor) -> tuple[Any, ...]:
        """Return what the masked network computes once for all labels, and its weights: (units, b), (units, q), (k, b), ..."""
        weight, bias = self.hidden.weight[self.order] * self.seen, (self.hidden.bias + self.condition.bias)[self.order]
        base = torch.addmm(bias[:, None], weight, z.T)
        out = self.out.weight.view(self.slots, self.latent, -1)[:, :, self.order] * self.reached
        out_bias = self.out.bias.view(self.slots, self.latent)
        given = base, self.condition.weight[self.order], z.T.contiguous()
        mix, mix_bias = self.shared.weight, self.shared.bias
        if len(mix) * out.shape[2] < self.slots * (out.shape[2] + 2 * len(mix)):  # both layers in one are the smaller product
            return *given, torch.einsum("mp,pkh->mkh", mix, out), (mix @ out_bias) + mix_bias[:, None], None, None
        return *given, out, out_bias, mix, mix_bias

    def _parts(self, z: Tensor) -> list["_Part"]:
        """Cut the dimensions into parts, and say how many hidden units each of them may read."""
        parts = min(_PARTS if z.device.type == "cpu" else 1, self.latent)
        edges = [self.latent * k // parts for k in range(parts + 1)]
        return [_Part(slice(*edge), self._reads[edge[1] - 1]) for edge in pairwise(edges)]


class LabelMap(nn.Module):
    """A vector for each label: ``L2 relu(L1 e_j) + L3 e_j``, where e_j is the one-hot vector of label j.

    Args:
        q: Number of labels.
        width: Length of the vectors.
        bias: Value of all vectors at the start, a small disturbance aside.
    """

    def __init__(self, q: int, width: int, *, bias: float) -> None:
        super().__init__()
        self.first, self.second, self.direct = nn.Linear(q, width), nn.Linear(width, width), nn.Linear(q, width)
        for layer in (self.second, self.direct):
            nn.init.uniform_(layer.weight, -1e-3, 1e-3)
            nn.init.constant_(layer.bias, bias / 2)

    def forward(self) -> Float[Tensor, "q k"]:
        """Return the vectors of all labels."""
        hidden = (self.first.weight.T + self.first.bias).relu()
        return torch.addmm(self.direct.weight.T + self.direct.bias, hidden, self.second.weight.T) + self.second.bias


class _Part(NamedTuple):
    """A part of the dimensions, and the number of hidden units that it may read."""

    dimensions: slice
    reads: int


class _Sigmoids(NamedTuple):
    """The M sigmoids of some dimensions, (units, dimensions, labels, b), and their sums, one axis less.

    ``slope`` is proportional to ``w a sigmoid'(t)``, so large that its sum ``total_slope`` is neither 0 nor infinite.
    """

    a: Tensor
    w: Tensor
    p: Tensor
    slope: Tensor
    total_w: Tensor
    total_slope: Tensor
    s: Tensor
    log_slope: Tensor


class _Made(NamedTuple):
    """What a layer makes of hidden units: its raw parameters, which the sigmoids overwrite, what they are mixed from, and the sigmoids."""

    raw: Tensor
    between: Tensor
    found: _Sigmoids


def _sigmoids(raw: Float[Tensor, "3 m k j b"], z: Float[Tensor, "k 1 b"]) -> _Sigmoids:
    """Return the sigmoids of these raw parameters at z; overwrites ``raw``."""
    # Far out all a may vanish, and the logarithm of the slope with them; a bound beyond which nobody can tell keeps both.
    a = functional.softplus(raw[0].clamp_(min=0.7 * math.log(torch.finfo(raw.dtype).tiny)))
    t = torch.addcmul(raw[1], a, z, out=raw[1])
    p = t.sigmoid()
    w = raw[2].sub_(raw[2].amax(dim=0))
    # sigmoid'(t) = exp(-|t|) sigmoid(|t|)^2: far out it underflows, so the largest of the exponents is kept apart.
    slope = w - t.abs_()
    shift = slope.amax(dim=0)
    slope = slope.sub_(shift).exp_()
    far = torch.maximum(p, torch.sub(1, p, out=t), out=t)
    slope.mul_(far).mul_(far)
    w = w.exp_()
    total_w, total_slope = w.sum(dim=0), torch.mul(slope, a, out=t).sum(dim=0)
    s = torch.mul(w, p, out=t).sum(dim=0).div_(total_w)
    return _Sigmoids(a, w, p, slope, total_w, total_slope, s, (total_slope / total_w).log_().add_(shift))


def _raw_gradient(
    found: _Sigmoids, raw: Float[Tensor, "3 m k j b"], z: Float[Tensor, "k 1 b"], grad_u: Tensor, grad_logdet: Tensor
) -> Float[Tensor, "k b"]:
    """Turn ``raw`` into the gradient of the raw parameters, and return that of z; overwrites ``found``.

    With s' = (1 - eps) s + eps / 2, u = logit(s') and l = log slope - log s' - log(1 - s') for each dimension, and the shares
    ``rho_m = w_m a_m sigmoid'(t_m) / slope`` of the units in the slope.
    """
    a, w, p, slope, total_w, total_slope, s, _ = found
    inner = _inner(s)
    gs = (grad_u + grad_logdet * (2 * inner - 1)).div_(inner * (1 - inner)).mul_((1 - _EPS) / total_w)
    by_a = slope.mul_(grad_logdet / total_slope)
    rho = by_a * a
    other = torch.sub(1, p)
    gt = (w * p).mul_(other).mul_(gs)
    gt.addcmul_(rho, other.sub_(p))
    p.mul_(gs).sub_(gs * s + grad_logdet / total_w)
    torch.addcmul(rho, w, p, out=raw[2])
    raw[1].copy_(gt)
    raw[0].sigmoid_().mul_(by_a.addcmul_(gt, z))
    return gt.mul_(a).sum(dim=(0, 2))


def _inner(s: Tensor) -> Tensor:
    return s * (1 - _EPS) + _EPS / 2


class _Layer:
    """The output layers of the masked network for a part of the dimensions, and their gradients.

    Its matrices have parameters and dimensions in the rows, labels and instances in the columns.
    """

    def __init__(self, weight: Tensor, bias: Tensor, mix: Tensor | None, mix_bias: Tensor | None, part: _Part) -> None:
        self.dimensions, self.reads = part
        self.slots = len(weight)
        self.weight = weight[:, self.dimensions, : self.reads].flatten(0, 1)
        self.bias = bias[:, self.dimensions].flatten()
        self.mix, self.mix_bias = mix, mix_bias
        self.outputs = len(weight if mix is None else mix)

    def make(self, hidden: Float[Tensor, "h n"], z: Float[Tensor, "k b"]) -> _Made:
        """Return raw parameters, what lies between the two layers, and the sigmoids."""
        between = torch.addmm(self.bias[:, None], self.weight, hidden[: self.reads]).view(self.slots, -1)
        raw = between
        if self.mix is not None and self.mix_bias is not None:
            raw = torch.addmm(self.mix_bias[:, None], self.mix, between)
        at = z[self.dimensions, None]
        raw = raw.view(3, self.outputs // 3, len(at), -1, z.shape[1])
        return _Made(raw, between, _sigmoids(raw, at))

    def backward(self, grad: Tensor, between: Tensor, hidden: Tensor, grad_hidden: Tensor, grads: "_Gradients") -> None:
        """Add the gradients of the weights to ``grads``, and that of the hidden units to ``grad_hidden``."""
        if self.mix is not None and grads.mix is not None and grads.mix_bias is not None:
            grads.mix.addmm_(grad, between.T)
            grads.mix_bias.add_(grad.sum(dim=1))
            grad = torch.mm(self.mix.T, grad)
        grad = grad.view(len(self.weight), -1)
        shape = self.slots, len(self.weight) // self.slots, self.reads
        grads.weight[:, self.dimensions, : self.reads] += (grad @ hidden[: self.reads].T).view(shape)
        grads.bias[:, self.dimensions] += grad.sum(dim=1).view(self.slots, -1)
        grad_hidden[: self.reads].addmm_(self.weight.T, grad)


class _Gradients(NamedTuple):
    base: Tensor
    condition: Tensor
    z: Tensor
    weight: Tensor
    bias: Tensor
    mix: Tensor | None
    mix_bias: Tensor | None


class _Autoregressive(torch.autograd.Function):
    """The first step of the flow for all labels, a block of labels and a part of the dimensions at a time.

    The gradient is written out, in about a third of the passes over memory that automatic differentiation takes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        base: Float[Tensor, "h b"],
        condition: Float[Tensor, "h q"],
        z: Float[Tensor, "k b"],
        weight: Float[Tensor, "p k h"],
        bias: Float[Tensor, "p k"],
        mix: Float[Tensor, "3m p"] | None,
        mix_bias: Float[Tensor, "3m"] | None,
        parts: list[_Part],
        keeps: bool,
    ) -> tuple[Float[Tensor, "k q b"], Float[Tensor, "q b"]]:
        ctx.save_for_backward(base, condition, z, weight, bias, mix, mix_bias)
        layers = ctx.layers = [_Layer(weight, bias, mix, mix_bias, part) for part in parts]
        ctx.kept = []
        u = base.new_empty(len(z), condition.shape[1], z.shape[1])
        logdet = base.new_full(u.shape[1:], len(z) * math.log1p(-_EPS))
        for columns, hidden, made in _walk(base, condition, z, layers):
            if keeps:
                made = list(made)
                ctx.kept.append((columns, hidden, made))
            for layer, (_, _, found) in zip(layers, made, strict=True):
                inner = _inner(found.s)
                log, other = inner.log(), torch.log1p(-inner)
                torch.sub(log, other, out=u[layer.dimensions, columns])
                logdet[columns] += (found.log_slope - log - other).sum(dim=0)
        return u, logdet

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_u: Tensor, grad_logdet: Tensor) -> tuple[Tensor | None, ...]:
        base, condition, z, *_ = ctx.saved_tensors
        grads = _Gradients(*[None if given is None else torch.zeros_like(given) for given in ctx.saved_tensors])  # type: ignore[arg-type]
        kept, ctx.kept = ctx.kept, []  # overwritten below: whoever asks for the gradient again has it computed again
        for columns, hidden, made in kept or _walk(base, condition, z, ctx.layers):
            grad_hidden = torch.zeros_like(hidden)
            for layer, (raw, between, found) in zip(ctx.layers, made, strict=True):
                rows = layer.dimensions
                grads.z[rows] += _raw_gradient(found, raw, z[rows, None], grad_u[rows, columns], grad_logdet[columns])
                layer.backward(raw.flatten(0, 1).flatten(1), between, hidden, grad_hidden, grads)
            slope = hidden.clamp_(max=0).add_(1)  # of ELU
            each = grad_hidden.mul_(slope).view(len(hidden), -1, z.shape[1])
            grads.base.add_(each.sum(dim=1))
            grads.condition[:, columns] = each.sum(dim=2)
        return *grads, None, None


def _walk(base: Tensor, condition: Tensor, z: Tensor, layers: list[_Layer]) -> Iterator[tuple[slice, Tensor, Iterable[_Made]]]:
    """Walk through the labels in blocks, small for the caches of a CPU: the labels, their hidden units, and what each layer makes of them.

    The network's first layer is the sum of a part that reads the instance and one that reads the label.
    """
    cells = z.numel() * layers[0].outputs // len(layers)
    for columns in label_blocks(condition.shape[1], cells * _SCALE if z.device.type == "cpu" else cells):
        hidden = functional.elu_(condition[:, columns, None] + base[:, None]).flatten(1)
        yield columns, hidden, map(partial(_Layer.make, hidden=hidden, z=z), layers)
