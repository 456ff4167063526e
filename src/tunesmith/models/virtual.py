"""Virtual tokens before a text: learned embeddings (prompt tuning) or learned keys and values (prefix-tuning).

The wrapping, saving and loading are PEFT's. Here is where the learned part starts, what of a model's context
it takes, and which combinations can not work. Neither kind is a change of weights, so neither can be merged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.core.errors import OptionError
from tunesmith.models.additions import quiet_peft

COMMON = 5_000
"""Vocabularies list frequent words first; a prompt starts from words among so many (Lester et al. 2021, 3.2)."""
_KINDS = ("PROMPT_TUNING", "PREFIX_TUNING")


def refuse(method: str, words: Mapping[str, Any], *, checkpointing: bool) -> None:
    """Raises OptionError for options of a run that virtual tokens can not work with."""
    if words.get("packing"):
        raise OptionError(
            f"packing=true: --method {method} puts its virtual tokens before every row, and a row that several "
            "examples share has one beginning only.",
            "Leave packing out, or use method=lora.",
        )
    if words.get("gradient_checkpointing") and not checkpointing:
        raise OptionError(
            f"gradient_checkpointing=true: --method {method} hands keys and values to the blocks, which do not keep "
            "them when they are computed again.",
            "Leave gradient_checkpointing out, or use method=prompt or method=lora.",
        )


def first_words(bundle: Any, count: int, text: str | None, seed: int) -> Tensor:
    """Token ids int64 [count] that the learned part starts from: those of `text`, repeated or cut to fit, or
    without one drawn from the common words of the vocabulary."""
    if text is not None:
        ids = bundle.tokenizer(text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise OptionError("init_text has no tokens.", "Give some words, or leave it out.")
        return torch.tensor((ids * -(-count // len(ids)))[:count])
    special = {*bundle.tokenizer.all_special_ids, *bundle.tokenizer.get_added_vocab().values()}
    common = torch.tensor([i for i in range(len(bundle.tokenizer)) if i not in special][:COMMON])
    drawn = torch.randint(len(common), (count,), generator=torch.Generator().manual_seed(seed))
    return common[drawn]


def add_prompt(bundle: Any, ids: Tensor) -> Any:
    """Put a learned prompt, which starts as the words `ids` [n], before what the network reads; nothing else moves.

    An encoder-decoder gets it before what its encoder reads. Returns the PeftModel.
    """
    from peft import PromptTuningConfig

    config = PromptTuningConfig(task_type=_task(bundle), num_virtual_tokens=len(ids), num_transformer_submodules=1)
    adapted = _wrap(bundle, config)
    with torch.no_grad():
        # through the layer, which in some families scales what is in its table
        _weight(adapted).copy_(adapted.word_embeddings(ids.to(_weight(adapted).device)))
    return adapted


def add_prefix(bundle: Any, ids: Tensor) -> Any:
    """Put learned keys and values before those of every block; they start as those of the words `ids` [n].

    Of an encoder-decoder only the decoder's own attention gets them, which is all that PEFT knows. Returns the
    PeftModel. Raises OptionError for a network whose blocks take no keys and values from outside.
    """
    from peft import PrefixTuningConfig

    kept = _keys_and_values(bundle, ids)
    blocks, (_, heads, _, width) = len(kept) // 2, kept[0].shape
    both = bundle.kind == "seq2seq"
    config = PrefixTuningConfig(
        task_type=_task(bundle), num_virtual_tokens=len(ids), token_dim=heads * width, num_attention_heads=heads,
        num_layers=blocks * (2 if both else 1), num_transformer_submodules=2 if both else 1,
    )  # fmt: skip
    adapted = _wrap(bundle, config)
    states = torch.stack([state[0].transpose(0, 1) for state in kept], dim=1).float()  # PEFT's order
    if both:
        # PEFT deals out the pairs of an encoder-decoder two to a block and drops the second of each, so with as
        # many pairs as blocks some would share theirs; with twice as many every block has its own
        states = states.unflatten(1, (blocks, 2)).repeat(1, 1, 2, 1, 1).flatten(1, 2)
    with torch.no_grad():
        _weight(adapted).copy_(states.flatten(1))
    return adapted


def typical_size(bundle: Any) -> float:
    """Root mean square of an entry of the embedding table: 0.02 in one family, above 10 in another."""
    table = bundle.model.network.get_input_embeddings().weight
    return float(table.detach().float().square().mean().sqrt())


def virtual_tokens(model: Any) -> int:
    """How many virtual tokens stand before what `model` reads: of a PeftModel that is not switched off, else 0."""
    config = _active(model)
    return int(config.num_virtual_tokens) if config is not None else 0


def is_prefix(model: Any) -> bool:
    config = _active(model)
    return config is not None and config.peft_type == "PREFIX_TUNING"


def can_merge(folder: Path) -> bool:
    """Whether the adapter that is saved in `folder` can become part of the weights: virtual tokens stand before the
    text, and bottleneck adapters are not linear."""
    from tunesmith.models.bottleneck import BottleneckType

    kind = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"]
    return kind not in (*_KINDS, BottleneckType.BOTTLENECK)


def _active(model: Any) -> Any:
    if not hasattr(model, "peft_config") or not model.has_active_enabled_adapter:
        return None
    config = model.peft_config[model.active_adapter]
    return config if config.is_prompt_learning else None


def _task(bundle: Any) -> str:
    return "SEQ_2_SEQ_LM" if bundle.kind == "seq2seq" else "CAUSAL_LM"


def _wrap(bundle: Any, config: Any) -> Any:
    from peft import get_peft_model

    with quiet_peft():
        adapted = get_peft_model(bundle.model.network, config)
    bundle.model.adapted = adapted.train(bundle.model.network.training)  # a new wrapper is in training mode
    return adapted


def _weight(adapted: Any) -> nn.Parameter:
    weight = adapted.prompt_encoder[adapted.active_adapter].embedding.weight
    assert isinstance(weight, nn.Parameter)
    return weight


@torch.no_grad()
def _keys_and_values(bundle: Any, ids: Tensor) -> list[Tensor]:
    """What the blocks of the decoder keep of the words `ids`: keys, then values of each, [1, heads, n, width]."""
    network = bundle.model.network
    words = ids[None].to(network.device)
    more = {"decoder_input_ids": words} if bundle.kind == "seq2seq" else {}
    before = network.training
    network.eval()
    output = network(input_ids=words, attention_mask=torch.ones_like(words), use_cache=True, **more)
    network.train(before)
    cache = getattr(output, "past_key_values", None)
    layers = getattr(getattr(cache, "self_attention_cache", cache), "layers", [])
    states = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
    known = [state for state in states if isinstance(state, Tensor)]
    if not known or len(known) < len(states) or len({state.shape for state in known}) > 1:
        raise OptionError(
            f"The blocks of {type(network).__name__} do not all keep keys and values of one shape, so there is no "
            "place for a prefix.",
            "Use method=prompt or method=lora with this model.",
        )
    return known
