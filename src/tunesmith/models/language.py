"""A language model that is asked for learned tokens only.

The word table is the widest matrix of a small model: logits for a batch of 8 x 1,024 tokens and
128,000 words are 4 GB. Here the network's own forward pass runs up to its output layer; what would
go into that layer is caught, reduced to the learned positions, and turned into log-probabilities in
chunks whose logits are computed again in the backward pass instead of being kept.

Families add things after the output layer (a soft cap, a scale, a bias). `LanguageModel` knows the
usual ones; `check` compares with the network's own logits and falls back to those where it must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tunesmith.models.model import Model
from tunesmith.models.types import Adapted, Config, Network

CHUNK = 8_000_000
"""Logits (learned tokens x words) that are held at once: 32 MB in float32."""
_CACHED = 400_000
"""Logits of the rows that are turned into losses together on a processor: 1.6 MB in float32."""
T = TypeVar("T")
_INPUTS = ("input_ids", "attention_mask", "position_ids", "decoder_input_ids", "decoder_attention_mask")


class LanguageModel(Model):
    """`network` is a transformers causal or encoder-decoder language model."""

    def __init__(self, network: Network):
        super().__init__(network)
        self.adapted: Adapted | None = None
        """PEFT's wrapper around `network` where a method made one; it is what runs then."""
        self.whole_logits = False
        """Compute logits as the network does, without chunks: for families with an output of their own."""
        network.config.use_cache = False  # no keys and values are kept while training
        for module in network.modules():
            if getattr(module, "layerdrop", 0):  # M2M100: a step that leaves out whole blocks may have no gradient
                module.layerdrop = 0.0

    @property
    def head(self) -> nn.Module:
        """The output layer: hidden states to logits."""
        return self.network.get_output_embeddings()

    @property
    def running(self) -> Network | Adapted:
        """What to call, generate with, and save."""
        return self.network if self.adapted is None else self.adapted

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Negative log-probability of each learned token, float32 [n], and whether it was the likeliest, bool [n].

        `batch`: token tensors [rows, length]; 'positions' int64 [n], the places in the flattened
        (decoder) input that predict the learned tokens; 'labels' int64 [n], those tokens.
        """
        hidden = self._hidden(batch, batch["positions"])
        losses, right = zip(*self._in_chunks(_losses, hidden, batch["labels"]), strict=True)
        return torch.cat(losses), torch.cat(right)

    def log_probs_of(self, batch: dict[str, Tensor], words: Tensor) -> Tensor:
        """Log-probabilities of `words` int64 [n, k] at the n learned positions, float32 [n, k]."""
        hidden = self._hidden(batch, batch["positions"])
        asked = self._in_chunks(lambda logits, some: logits.float().log_softmax(-1).gather(1, some), hidden, words)
        return torch.cat(list(asked))

    @torch.no_grad()
    def top_k(self, batch: dict[str, Tensor], count: int) -> tuple[Tensor, Tensor]:
        """The `count` most probable words at each learned position, int64 [n, count], and their log-probabilities."""
        hidden = self._hidden(batch, batch["positions"])
        count = min(count, self.config_vocabulary)

        def best(logits: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
            found = logits.float().log_softmax(-1).topk(count, -1)
            return found.indices, found.values

        words, logs = zip(*self._in_chunks(best, hidden, batch["labels"]), strict=True)
        return torch.cat(words), torch.cat(logs)

    def _in_chunks(self, answer: Callable[[Tensor, Tensor], T], hidden: Tensor, wanted: Tensor) -> Iterator[T]:
        """`answer(logits, wanted)` a chunk of positions after the other; logits are made again in the backward pass."""

        def chunk(some: Tensor, wanted: Tensor) -> T:
            return answer(some if self.whole_logits else _finished(self.head(some), self.network), wanted)

        size = max(1, len(wanted) if self.whole_logits else CHUNK // self.config_vocabulary)
        for start in range(0, max(1, len(wanted)), size):
            parts = hidden[start : start + size], wanted[start : start + size]
            if torch.is_grad_enabled() and len(wanted) > size:
                yield checkpoint(chunk, *parts, use_reentrant=False)
            else:
                yield chunk(*parts)

    @property
    def config_vocabulary(self) -> int:
        weight = getattr(self.head, "weight", None)
        return int(_text(self.config).vocab_size if weight is None else weight.shape[0])

    def _inputs(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        inputs: dict[str, Any] = {name: batch[name] for name in _INPUTS if name in batch}
        if inputs["attention_mask"].ndim == 4:
            inputs["attention_mask"] = self._masks(inputs["attention_mask"])
        return inputs

    def _masks(self, allowed: Tensor) -> Tensor | dict[str, Tensor]:
        """What is added to the attention scores where `allowed` is bool [rows, 1, length, length].

        A mask of one's own replaces that of the network, and with it the window that some layers, or
        all, look back through; such layers get a mask with the window in it.
        """
        dtype = self.network.get_input_embeddings().weight.dtype

        def added(mask: Tensor) -> Tensor:  # both attention kernels take this form
            zeros = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
            return zeros.masked_fill_(~mask, torch.finfo(dtype).min)

        config, length = _text(self.config), allowed.shape[-1]
        window = getattr(config, "sliding_window", None)
        if not window or length <= window:
            return added(allowed)
        ahead = torch.arange(length, device=allowed.device)
        near = added(allowed & (ahead[:, None] - ahead < window))
        if not getattr(config, "layer_types", None):
            return near
        return {"full_attention": added(allowed), "sliding_attention": near}

    def _hidden(self, batch: dict[str, Tensor], positions: Tensor) -> Tensor:
        """What the output layer reads at `positions` [n, hidden]; with `whole_logits` the logits there."""
        inputs = self._inputs(batch)
        width = _width(inputs)
        with _tap(self.head, positions, width, keep=self.whole_logits) as caught:
            output = self.running(**inputs, use_cache=False)
        if not caught:  # the network multiplies by the layer's weights without calling it
            self.whole_logits = True
        if self.whole_logits:
            logits: Tensor = output.logits
            return logits.flatten(0, 1) if caught else _at(logits, positions, width)
        return caught[0]

    @torch.no_grad()
    def log_probabilities(self, batch: dict[str, Tensor]) -> Tensor:
        """Of every word at each learned position, float32 [n, vocabulary]; for few tokens at a time."""
        hidden = self._hidden(batch, batch["positions"])
        logits = hidden if self.whole_logits else _finished(self.head(hidden), self.network)
        return logits.float().log_softmax(-1)

    @torch.no_grad()
    def check(self, batch: dict[str, Tensor], tolerance: float = 1e-3) -> float:
        """Largest difference between our log-probabilities and those of the network's own logits.

        Above `tolerance`, `whole_logits` is switched on.
        """
        self.whole_logits = False
        ours, _ = self(batch)
        inputs = self._inputs(batch)
        logits = self.running(**inputs, use_cache=False).logits
        theirs, _ = _losses(_at(logits, batch["positions"], _width(inputs)), batch["labels"])
        apart = float((ours - theirs).abs().max())
        self.whole_logits |= not apart <= tolerance
        return apart


@contextmanager
def _tap(head: nn.Module, positions: Tensor, width: int, *, keep: bool) -> Iterator[list[Tensor]]:
    """Catch what goes into `head`, reduced to `positions` of the flattened rows of `width` tokens.

    The layer itself then sees one position (`keep`: the wanted ones), as its output is not used.
    """
    caught: list[Tensor] = []

    def catch(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        wanted = _at(arguments[0], positions, width)
        caught.append(wanted)
        return (wanted.unsqueeze(0) if keep else wanted[:1].detach().unsqueeze(0),)

    handle = head.register_forward_pre_hook(catch)
    try:
        yield caught
    finally:
        handle.remove()


def _width(inputs: Mapping[str, Tensor]) -> int:
    """Length of the rows whose tokens are predicted."""
    return int(inputs.get("decoder_input_ids", inputs["input_ids"]).shape[1])


def _at(states: Tensor, positions: Tensor, width: int) -> Tensor:
    """`states` [rows, length, d] at `positions` of the flattened rows of `width` tokens: [n, d].

    Rows are longer than their tokens where virtual ones stand before them.
    """
    virtual = states.shape[1] - width
    return states.flatten(0, 1)[positions + (positions // width + 1) * virtual]


def _finished(logits: Tensor, network: Network) -> Tensor:
    """What families do to logits after the output layer."""
    config = _text(network.config)
    bias = getattr(network, "final_logits_bias", None)  # BART, Marian
    if bias is not None:
        logits = logits + bias.view(-1)
    if getattr(config, "logit_scale", None):  # Cohere
        logits = logits * config.logit_scale
    if getattr(config, "logits_scaling", None):  # Granite
        logits = logits / config.logits_scaling
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
    return torch.tanh(logits / cap) * cap if cap else logits


def _losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    losses, right = _Loss.apply(logits, labels)
    return losses, right


class _Loss(torch.autograd.Function):
    """Cross-entropy in float32 of logits in any format, without keeping anything in float32.

    On a processor a few rows at a time: they stay in its cache, where float32 copies of all logits take
    as long to write and read back as the logits take to compute.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        losses = torch.empty(len(labels), dtype=torch.float32, device=logits.device)
        right = torch.empty(len(labels), dtype=torch.bool, device=logits.device)
        for rows in _few_rows(logits):
            some, wanted = logits[rows], labels[rows, None]
            losses[rows] = -torch.log_softmax(some, -1, dtype=torch.float32).gather(1, wanted).squeeze(1)
            right[rows] = _are_likeliest(some, wanted)
        ctx.save_for_backward(logits, labels, losses)
        ctx.mark_non_differentiable(right)
        return losses, right

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, None]:
        logits, labels, losses = ctx.saved_tensors
        slopes = torch.empty_like(logits)
        for rows in _few_rows(logits):
            weights = received[0][rows, None]
            probabilities = torch.softmax(logits[rows], -1, dtype=torch.float32).mul_(weights)
            # the label's chance less one, from the loss: it may be too near to one for a difference
            slopes[rows] = probabilities.scatter_(1, labels[rows, None], weights * torch.expm1(-losses[rows, None]))
        return slopes, None


def _few_rows(logits: Tensor) -> Iterator[slice]:
    size = max(1, _CACHED // logits.shape[-1]) if logits.device.type == "cpu" else max(1, len(logits))
    return (slice(start, start + size) for start in range(0, len(logits), size))


def _are_likeliest(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether `labels` [n, 1] are the first of the largest in their rows."""
    if logits.device.type != "cpu":
        return logits.argmax(-1) == labels.squeeze(1)
    # on a processor a maximum is four times as fast as its place, which matters among equals only
    largest = (logits.gather(1, labels) == logits.amax(-1, keepdim=True)).squeeze(1)
    largest[largest.clone()] = logits[largest].argmax(-1) == labels[largest].squeeze(1)
    return largest


def _text(config: Config) -> Config:
    return config.get_text_config() if hasattr(config, "get_text_config") else config
