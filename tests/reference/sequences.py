"""XML-CNN and label attention as their papers write them: one row at a time, packed sequences, every label's products in full."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from polytag.models import RNN, XMLCNN


def xmlcnn_logits(model: XMLCNN, x: Tensor) -> Tensor:
    """Return the logits of each row alone: loops over windows, places, parts and filters; zeros behind the end of the row."""
    rows = []
    for row in x:
        words, real = model.tokens(row[None])
        length = int(real.sum())
        words = words[0, :length]
        pooled = []
        for convolution in model.convolutions:
            (window,) = convolution.kernel_size
            longer = torch.cat([words, words.new_zeros(window - 1, words.shape[1])])
            responses = torch.stack(
                [(convolution.weight * longer[start : start + window].T).sum(dim=(1, 2)) + convolution.bias for start in range(length)]
            )
            for part in range(model.parts):
                start, stop = part * length // model.parts, -(-(part + 1) * length // model.parts)
                pooled.append(responses[start:stop].max(dim=0).values)
        features = model.bottleneck(torch.cat(pooled).relu()).relu()
        rows.append(model.output(features))
    return torch.stack(rows)


def packed_states(model: RNN, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states of PyTorch's own bidirectional network on packed sequences, and which places are real."""
    words, real = model.tokens(x)
    both = type(model.onwards)(words.shape[2], model.onwards.hidden_size, batch_first=True, bidirectional=True).to(words.dtype)
    both.load_state_dict(
        {
            **model.onwards.state_dict(),
            **{f"{name}_reverse": value for name, value in model.backwards.state_dict().items()},
        }
    )
    packed = pack_padded_sequence(words, real.sum(dim=1), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(both(packed)[0], batch_first=True)[0], real


def rnn_logits(model: RNN, x: Tensor) -> Tensor:
    """Return the logits by packed sequences, with every label's attention and summary written out."""
    states, real = packed_states(model, x)
    rows = []
    for row, length in zip(states, real.sum(dim=1).tolist(), strict=True):
        seen = row[:length]
        if isinstance(model.attention, nn.Linear):
            weights = (model.attention.weight @ seen.T).softmax(dim=1)
            summaries = (weights[:, :, None] * seen[None]).sum(dim=1)
            rows.append((summaries * model.output.weight).sum(dim=1) + model.output.bias)
        else:
            rows.append(model.output(torch.cat([seen.max(dim=0).values, seen.mean(dim=0)])))
    return torch.stack(rows)
