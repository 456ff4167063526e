"""A text encoder with a linear head that says of every token whether an answer begins or ends at it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.models.attention import use_for_short_rows
from tunesmith.models.pooled import PooledNetwork
from tunesmith.models.types import Network

BEST = 20
"""Answers that are kept of a question (the n-best list of BERT's own code for SQuAD)."""
NOWHERE = -1e4
"""Logit of a token at which no answer may begin or end."""
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_AT_ONCE = 8_192
"""Tokens of the windows that go through the network together, where nothing is learned."""


class ReaderModel(PooledNetwork):
    """`network` is an `AutoModelForQuestionAnswering`."""

    pooling = "reader"

    def __init__(self, network: Network):
        super().__init__(network)
        use_for_short_rows(network)

    @property
    def outputs(self) -> tuple[int, ...]:
        return (1 + BEST, 3)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """float32 [rows, windows, tokens, 4]: of each token the logits that an answer begins and ends there, and where
        it begins and ends itself, in characters of the context; below 0 for others (`engine.windows`)."""
        inputs = {name: batch[name] for name in _INPUTS if name in batch}
        step = len(batch["input_ids"]) if torch.is_grad_enabled() else _AT_ONCE // batch["input_ids"].shape[1]
        parts = [
            torch.stack((found.start_logits, found.end_logits), -1).float()
            for found in (
                self.running(**{name: values[start : start + max(1, step)] for name, values in inputs.items()})
                for start in range(0, len(batch["input_ids"]), max(1, step))
            )
        ]
        places = batch["places"]
        logits = torch.cat(parts).masked_fill((places[..., :1] < -1.5), NOWHERE)
        every = torch.cat((logits, places), -1)
        none = functional.pad(torch.full_like(every[:1, :, :2], NOWHERE), (0, 2), value=-2.0)
        return torch.cat((every, none))[batch["windows"]]  # -1 is the last one: no window

    def features(self, batch: dict[str, Tensor]) -> Tensor:
        """The mean of what the head reads of the first window, float32 [rows, hidden]: by it is seen how far the body
        has moved."""
        first = batch["windows"][:, 0]
        inputs = {name: batch[name][first] for name in _INPUTS if name in batch}
        weight = inputs["attention_mask"].unsqueeze(-1).float()
        return (self.seen(inputs, self.head).float() * weight).sum(1) / weight.sum(1)

    def fold(self) -> Network:
        """It is a plain network of transformers as it is."""
        return self.network


def best_spans(outputs: Tensor, longest: float) -> Tensor:
    """float32 [rows, 1 + BEST, 3] of outputs [rows, windows, tokens, 4]: of 'no answer' and of the best answers where
    they begin and end, in characters, and their score; both are -1 for 'no answer' and where there are fewer.

    The score of an answer is by how much the sum of its two logits is above that of 'no answer' (Devlin et al. 2019,
    section 4.3), which is of all windows together as in the loss; that of 'no answer' itself is 0. An answer has at
    most `longest` characters.
    """
    rows, windows, length, _ = outputs.shape
    logits, places = outputs[..., :2], outputs[..., 2:]
    context = places[..., 0] >= 0
    null = (places[..., 0] == -1).unsqueeze(-1)
    of_null = logits.masked_fill(~null, 2 * NOWHERE).flatten(1, 2).logsumexp(1).sum(-1)  # [rows]
    inside = logits.masked_fill(~context.unsqueeze(-1), NOWHERE)
    count = min(BEST, length)
    begin, first = inside[..., 0].topk(count, -1)
    end, last = inside[..., 1].topk(count, -1)
    starts, ends = places[..., 0].gather(-1, first), places[..., 1].gather(-1, last)
    sums = begin.unsqueeze(-1) + end.unsqueeze(-2) - of_null[:, None, None, None]
    fits = (first.unsqueeze(-1) <= last.unsqueeze(-2)) & (ends.unsqueeze(-2) - starts.unsqueeze(-1) <= longest)
    real = (starts.unsqueeze(-1) >= 0) & (ends.unsqueeze(-2) >= 0)
    sums = sums.masked_fill(~(fits & real), 2 * NOWHERE).reshape(rows, -1)
    # of overlapping windows the same answer may come twice: more are looked at than are kept
    scores, which = sums.topk(min(4 * BEST, sums.shape[1]), -1)
    pairs = (rows, windows, count, count)
    found = torch.stack((
        starts.unsqueeze(-1).expand(pairs).reshape(rows, -1).gather(-1, which),
        ends.unsqueeze(-2).expand(pairs).reshape(rows, -1).gather(-1, which), scores,
    ), -1)  # fmt: skip
    return torch.stack([_once(one) for one in found])


def _once(found: Tensor) -> Tensor:
    """[1 + BEST, 3] of answers [n, 3], the best first: each once, behind 'no answer'."""
    kept = found.new_tensor([[-1.0, -1.0, 0.0]] + [[-1.0, -1.0, 2 * NOWHERE]] * BEST)
    seen: set[tuple[float, float]] = set()
    for start, end, score in found.tolist():
        if score > NOWHERE and (start, end) not in seen and len(seen) < BEST:
            seen.add((start, end))
            kept[len(seen)] = kept.new_tensor([start, end, score])
    return kept
