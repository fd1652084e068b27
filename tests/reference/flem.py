"""FLEM as the paper and its authors' code write it: loops over rows and labels, two networks by hand, the authors' optimiser loop."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def softmax(row: Tensor) -> Tensor:
    """Return the softmax of one row."""
    return row.exp() / row.exp().sum()


def distribution(s: Tensor, z: Tensor) -> Tensor:
    """Return L_LD, the cross-entropy of softmax(s) with softmax(z), z fixed."""
    rows = []
    for s_row, z_row in zip(s, z.detach(), strict=True):
        d = softmax(z_row)
        rows.append(sum(d[j] * (s_row.exp().sum().log() - s_row[j]) for j in range(len(d))))
    return torch.stack(rows).mean()


def entropy(z: Tensor) -> Tensor:
    """Return the mean entropy of softmax(z)."""
    return torch.stack([-(softmax(row) * softmax(row).log()).sum() for row in z.detach()]).mean()


def similarity(x: Tensor, z: Tensor) -> Tensor:
    """Return strategy S."""

    def cosine(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b) / (a.norm().clamp(min=1e-12) * b.norm().clamp(min=1e-12))

    b = len(x)
    return torch.stack([(cosine(x[m], x[n]) - cosine(z[m], z[n])) ** 2 for m in range(b) for n in range(b)]).sum() / b**2


def threshold(z: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """Return strategy T of each row."""
    found = []
    for z_row, y_row in zip(z, y, strict=True):
        relevant, others = z_row[y_row == 1], z_row[y_row == 0]
        found.append((others.max() - relevant.min() + epsilon).clamp(min=0) if len(relevant) and len(others) else z_row.sum() * 0)
    return torch.stack(found)


def interaction(z: Tensor, s: Tensor, y: Tensor, gamma_pos: float, gamma_neg: float) -> Tensor:
    """Return L_IN."""
    total = torch.zeros((), dtype=z.dtype)
    p, star = s.detach().sigmoid(), z.sigmoid()
    for i in range(len(z)):
        for j in range(z.shape[1]):
            positive = (1 - p[i, j]) ** gamma_pos * star[i, j].log()
            negative = p[i, j] ** gamma_neg * (1 - star[i, j]).log()
            total = total - (positive if y[i, j] == 1 else negative)
    return total / z.numel()


def block(roles: dict[str, Tensor], name: str, rows: Tensor) -> Tensor:
    """Return one of the estimator's blocks in training mode, from parameters by role."""
    hidden = functional.leaky_relu(rows @ roles[f"{name}.first.weight"].T + roles[f"{name}.first.bias"], 0.01)
    mean, variance = hidden.mean(0), hidden.var(0, unbiased=False)
    normed = (hidden - mean) / (variance + 1e-5).sqrt() * roles[f"{name}.norm.weight"] + roles[f"{name}.norm.bias"]
    return normed + normed @ roles[f"{name}.residual.weight"].T + roles[f"{name}.residual.bias"]


def estimate(roles: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Return z of a batch in training mode."""
    return block(roles, "g_D", torch.cat([block(roles, "g_F", x), block(roles, "g_L", y)], 1))


def clipped_steps(
    objective: Callable[[], Tensor], optimizer: torch.optim.Optimizer, parameters: list[Tensor], steps: int
) -> dict[str, list[float]]:
    """Take steps with the authors' clipping: at most five times the largest of the last five norms, each counted as at most 1."""
    history, seen = [math.inf], {"loss": [], "total_norm": [], "clip_bound": []}
    for _ in range(steps):
        optimizer.zero_grad()
        loss = objective()
        loss.backward()
        bound = 5 * max(history)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, bound))
        optimizer.step()
        history = [*history, min(norm, 2 * max(history), 1.0)][-5:]
        for name, value in zip(seen, (float(loss.detach()), norm, bound), strict=True):
            seen[name].append(value)
    return seen
