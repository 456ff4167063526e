"""A text encoder with a linear head, whose pooling is explicit and survives saving.

Sentence encoders are trained so that the *mean* of their token vectors means something; the
`...ForSequenceClassification` classes of transformers look at the first token instead. We keep the
mean and still save a plain transformers model: averaging is written as one more transformer layer.

With queries and keys zero, attention weighs all tokens equally, so a layer with values and output
set to M times the identity computes, at the first token,

    LayerNorm(M * mean(h) + h_first)                               (M = 1024; h_first is the residual)

and the pooler, with its weight set to T times the identity, tanh(T * that), T = 1/256. We train on
exactly this expression (`_pooled`), without paying for the layer; `fold` writes the layer when the
model is saved and `unfold` takes it away again when our own code loads it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.core.errors import OptionError
from tunesmith.models.additions import virtual_tokens
from tunesmith.models.attention import use_for_short_rows
from tunesmith.models.model_json import read_object
from tunesmith.models.pooled import PooledNetwork
from tunesmith.models.types import Config, Network

Pooling = Literal["mean", "cls", "own"]
"""'mean' of all tokens, 'cls' (the first token), or the network's 'own' way."""

MEAN_SCALE = 1024.0
TANH_SCALE = 1 / 256

# Families whose layers are BertLayer-shaped (post-norm, absolute positions), with the path of the
# dense layer before the tanh.
_FOLDABLE = {
    "bert": "bert.pooler.dense",
    "roberta": "classifier.dense",
    "xlm-roberta": "classifier.dense",
    "camembert": "classifier.dense",
}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class TextModel(PooledNetwork):
    """`network` is an `AutoModelForSequenceClassification`; `pooling` says how its head is fed."""

    def __init__(self, network: Network, pooling: Pooling):
        super().__init__(network)
        self.pooling = pooling
        self._table_width = 0
        self.frozen_prefix = 0
        """Blocks, from the bottom, that do not learn: with the embeddings below them they answer as in evaluation."""
        use_for_short_rows(network)
        if pooling != "own":
            for parameter in self._dense().parameters():
                parameter.requires_grad_(False)  # folded to the identity: not used, not trained

    @property
    def float32_names(self) -> frozenset[str]:
        if self.pooling == "own":
            return frozenset()
        return frozenset(f"network.{self.head_name}.{part}" for part in ("weight", "bias"))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits [rows, outputs], from token tensors, or from 'features' computed before."""
        if "features" in batch:
            return self.head(batch["features"].to(self.head.weight.dtype))
        if self.pooling == "own" and self.table is None:
            return self.running(**_inputs(batch)).logits
        pooled = self.features(batch).to(self.head.weight.dtype)
        if self.training and self.config.hidden_dropout_prob:
            pooled = functional.dropout(pooled, self.config.hidden_dropout_prob)
        return self.head(pooled)

    @property
    def hidden_size(self) -> int:
        return self.width - self._table_width

    def join_table(self, table: list[dict[str, Any]], weight: Tensor) -> None:
        """Let the head read columns beside the text: `weight` [outputs, width of the table]. Raises OptionError behind
        virtual tokens."""
        if self.prompted is not None:
            raise OptionError("Columns beside a text do not go with tokens before it.", "Choose another --method.")
        old = self.head
        new = nn.Linear(old.in_features + weight.shape[1], old.out_features, bias=old.bias is not None)
        with torch.no_grad():
            new.weight[:, : old.in_features] = old.weight
            new.weight[:, old.in_features :] = weight
            if old.bias is not None:
                new.bias.copy_(old.bias)
        self.network.set_submodule(self.head_name, new)
        self.table, self._table_width = table, weight.shape[1]

    def freeze_prefix(self, blocks: int) -> None:
        """So many blocks do not learn for now (`frozen_prefix`)."""
        self.frozen_prefix = blocks
        self.train(self.training)

    def train(self, mode: bool = True) -> TextModel:
        """No dropout in what is frozen, so that its states are the same every time, and can be kept."""
        super().train(mode)
        if self.frozen_prefix:
            self.network.base_model.embeddings.eval()
            for layer in _layers(self.network)[: self.frozen_prefix]:
                layer.eval()
        return self

    @property
    def splittable(self) -> bool:
        """Whether the lowest blocks can be run apart from the others (`bottom`)."""
        return self.pooling != "own"

    def bottom(self, batch: dict[str, Tensor], blocks: int) -> Tensor:
        """Token states after the embeddings and the lowest `blocks` blocks, [rows, length, hidden].

        With 'hidden' in the batch, which are the states after 'blocks' blocks, only those in between are run.
        """
        if "hidden" in batch:
            return self._blocks(batch["hidden"], batch["attention_mask"], int(batch["blocks"]), blocks)
        inputs = _inputs(batch)
        mask = inputs.pop("attention_mask")
        return self._blocks(self.network.base_model.embeddings(**inputs), mask, 0, blocks)

    def _blocks(self, hidden: Tensor, mask: Tensor, start: int, end: int | None) -> Tensor:
        lowest = torch.finfo(hidden.dtype).min
        added = None if bool(mask.all()) else (1 - mask[:, None, None, :].to(hidden.dtype)) * lowest
        for layer in _layers(self.network)[start:end]:
            hidden = layer(hidden, added)
        return hidden

    def features(self, batch: dict[str, Tensor]) -> Tensor:
        """What the head reads, float32 [rows, hidden]: of the text, and behind it of the columns beside it (zeros of
        rows without any)."""
        found = self._of_text(batch)
        if "sides" in batch:  # texts that stand once, however many rows they stand in
            return found[batch["sides"][:, 0]]
        if self.table is None:
            return found
        beside = batch.get("table")
        if beside is None:
            beside = found.new_zeros(len(found), self._table_width)
        return torch.cat((found, beside.to(found)), 1)

    def _of_text(self, batch: dict[str, Tensor]) -> Tensor:
        """float32 [rows, hidden].

        With 'hidden' and 'blocks' in the batch (from `bottom`) only the blocks above are run. What is frozen is run
        apart from the others in any case, so that kept states change nothing.
        """
        if self.pooling == "own":
            return self._head_input(batch)
        if self.prompted is not None:
            return self._behind_virtual_tokens(batch)
        if self.frozen_prefix or "hidden" in batch:
            below = max(self.frozen_prefix, int(batch.get("blocks", 0)))
            with torch.no_grad():
                hidden = self.bottom(batch, below)
            hidden = self._blocks(hidden, batch["attention_mask"], below, None).float()
        else:
            hidden = self.network.base_model(**_inputs(batch)).last_hidden_state.float()
        return _pooled(hidden, batch["attention_mask"], self.pooling, self.config.layer_norm_eps)

    def _behind_virtual_tokens(self, batch: dict[str, Tensor]) -> Tensor:
        """`features` of what PEFT runs: exactly those that the folded network will have.

        Virtual words are tokens like others, first among them the first of all, and count in the mean. Keys and values
        have no state of their own: for the layer that is the mean they are zero, and it still divides by their number.
        """
        hidden = self.seen(_inputs(batch), self.network.base_model, after=True).float()
        mask = batch["attention_mask"]
        count = virtual_tokens(self.prompted)
        words = hidden.shape[1] - mask.shape[1]
        mask = functional.pad(mask, (words, 0), value=1)
        return _pooled(hidden, mask, self.pooling, self.config.layer_norm_eps, zeros=count - words)

    def _head_input(self, batch: dict[str, Tensor]) -> Tensor:
        found = self.seen(_inputs(batch), self.head).float()
        if found.ndim == 2:
            return found
        # a decoder's head answers at every token, and the one at the last that is no padding counts
        real = batch["input_ids"] != self.config.get_text_config().pad_token_id
        last = (torch.arange(found.shape[1], device=found.device) * real).argmax(-1)
        return found[torch.arange(len(found), device=found.device), last]

    def _dense(self) -> nn.Linear:
        return self.network.get_submodule(_FOLDABLE[self.config.model_type])

    def fold(self) -> Network:
        """A plain transformers network with the same logits (float32: within 1e-5). See the module. With columns beside
        the text what the text alone adds to them."""
        if self.table is None:
            return self._folded()
        whole, size = self.head, self.hidden_size
        text = nn.Linear(size, whole.out_features, bias=whole.bias is not None)
        with torch.no_grad():
            text.weight.copy_(whole.weight[:, :size])
            if whole.bias is not None:
                text.bias.copy_(whole.bias)
        self.network.set_submodule(self.head_name, text)
        try:
            return copy.deepcopy(self.network) if self.pooling == "own" else self._folded()
        finally:
            self.network.set_submodule(self.head_name, whole)

    def _folded(self) -> Network:
        if self.pooling == "own":
            return self.network
        config = copy.deepcopy(self.config)
        config.num_hidden_layers += self.pooling == "mean"
        config.tunesmith = {"pooling": self.pooling}
        folded = type(self.network)(config)
        folded.load_state_dict(self.network.state_dict(), strict=False)
        model = TextModel(folded, self.pooling)
        with torch.no_grad():
            if self.pooling == "mean":
                _write_mean_layer(_layers(folded)[-1], config.hidden_size)
            dense = model._dense()  # the identity, scaled
            dense.weight.copy_(torch.eye(dense.in_features) * TANH_SCALE)
            dense.bias.zero_()
            model.head.weight.div_(TANH_SCALE)
        return folded.eval()


def unfold(network: Network) -> TextModel:
    """The model that `fold` was called on, from its saved network; other networks pool their own way."""
    pooling: Pooling = saved_pooling(network.config) or "own"
    if pooling == "mean":
        layers = _layers(network)
        del layers[-1]
        network.config.num_hidden_layers -= 1
    model = TextModel(network, pooling)
    if pooling != "own":
        with torch.no_grad():
            model.head.weight.mul_(TANH_SCALE)
    return model


def saved_pooling(config: Config) -> Pooling | None:
    """The pooling that `fold` wrote into a network, if it did."""
    marks = getattr(config, "tunesmith", None) or {}
    pooling: Pooling | None = marks.get("pooling")
    return pooling


def is_sentence_encoder(folder: Path) -> bool:
    """Whether a base model was trained so that texts of like meaning have like features."""
    return _sentence_pooling(folder) is not None


def usual_pooling(model_type: str) -> Pooling:
    """The pooling of a family's base models that say nothing of their own."""
    return "mean" if model_type in _FOLDABLE else "own"


def choose_pooling(folder: Path, model_type: str) -> tuple[Pooling, str]:
    """The pooling that a base model was trained with, and why it was chosen."""
    asked = _sentence_pooling(folder)
    if asked == "cls" and model_type in _FOLDABLE:
        return "cls", "the sentence encoder was trained with its first token"
    if model_type in _FOLDABLE:
        why = "the sentence encoder was trained with it" if asked else "steadier than the first token alone"
        return "mean", why
    if asked:
        return "own", f"{asked} pooling can not be written into a plain {model_type} network"
    return "own", f"the way of {model_type} networks"


def _sentence_pooling(folder: Path) -> str | None:
    """'mean' or 'cls' as sentence-transformers saved it, None for other models."""
    path = folder / "1_Pooling" / "config.json"
    if not path.exists():
        return None
    config = read_object(path)
    mode = config.get("pooling_mode")
    return "cls" if config.get("pooling_mode_cls_token") or mode == "cls" else "mean"


def _pooled(hidden: Tensor, mask: Tensor, pooling: Pooling, eps: float, zeros: int = 0) -> Tensor:
    """Features of token states [rows, length, hidden]; the mean is over `zeros` more of them that are zero."""
    first = hidden[:, 0]
    if pooling == "cls":
        return torch.tanh(first * TANH_SCALE) / TANH_SCALE
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weight).sum(1) / (weight.sum(1) + zeros)
    normal = functional.layer_norm(MEAN_SCALE * mean + first, hidden.shape[-1:], eps=eps)
    return torch.tanh(normal * TANH_SCALE) / TANH_SCALE


def _write_mean_layer(layer: Any, hidden_size: int) -> None:
    for parameter in layer.parameters():
        parameter.zero_()
    attention = layer.attention
    attention.self.value.weight.copy_(torch.eye(hidden_size))
    attention.output.dense.weight.copy_(torch.eye(hidden_size) * MEAN_SCALE)
    attention.output.LayerNorm.weight.fill_(1.0)
    layer.output.LayerNorm.weight.fill_(1.0)  # its input is normal already: this changes nothing


def _layers(network: Network) -> nn.ModuleList:
    return network.base_model.encoder.layer


def _inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: batch[name] for name in _INPUTS if name in batch}
