"""Virtual tokens before a text: learned embeddings (prompt tuning) or learned keys and values (prefix-tuning).

The wrapping, saving and loading are PEFT's. Here is where the learned part starts, what of a model's context
it takes, and which combinations can not work. Neither kind is a change of weights, so neither can be merged:
a text model that has learned them is saved as PEFT reads it, its base below it (`save`, `load`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Decided, Emit
from tunesmith.models.additions import adapter_config, is_prefix, new_head, quiet_peft
from tunesmith.models.bundle import Bundle, TextBundle
from tunesmith.models.guard import tokens
from tunesmith.models.text import TextModel
from tunesmith.models.types import Adapted, Network

if TYPE_CHECKING:
    from peft import PromptLearningConfig

COMMON = 5_000
"""Vocabularies list frequent words first; a prompt starts from words among so many (Lester et al. 2021, 3.2)."""
BASE = "base"
"""Below a text model with virtual tokens: the network that they stand before, whole."""
_KINDS = ("PROMPT_TUNING", "PREFIX_TUNING")
_SHORTEST = 8
"""Fewest tokens of a text that virtual ones may leave."""
_TEXTS = ("It is so.", "It is so, and it was so before.")
"""By which it is tried whether a network can work with virtual tokens."""
_TRIAL = 1e-3
"""Most that padding may change a logit, by the largest there is."""


def refuse(method: str, words: Mapping[str, object], *, checkpointing: bool) -> None:
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


def first_words(bundle: Bundle, count: int, text: str | None, seed: int) -> Tensor:
    """Token ids int64 [count] that the learned part starts from: those of `text`, repeated or cut to fit, or
    without one drawn from the common words of the vocabulary.

    A text encoder is used to begin with a token of its own, so the learned part begins with that one too."""
    if text is not None:
        ids = tokens(bundle.tokenizer, text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise OptionError("init_text has no tokens.", "Give some words, or leave it out.")
        return torch.tensor((ids * -(-count // len(ids)))[:count])
    special = {*bundle.tokenizer.all_special_ids, *bundle.tokenizer.get_added_vocab().values()}
    common = torch.tensor([i for i in range(len(bundle.tokenizer)) if i not in special][:COMMON])
    drawn = torch.randint(len(common), (count,), generator=torch.Generator().manual_seed(seed))
    found = common[drawn]
    if bundle.kind == "encoder" and getattr(bundle.tokenizer, "cls_token_id", None) is not None:
        found[0] = bundle.tokenizer.cls_token_id
    return found


def add_prompt(bundle: Bundle, ids: Tensor) -> Adapted:
    """Put a learned prompt, which starts as the words `ids` [n], before what the network reads; nothing else moves.

    An encoder-decoder gets it before what its encoder reads. Returns the PeftModel.
    """
    from peft import PromptTuningConfig

    table = bundle.model.network.get_input_embeddings()
    config = PromptTuningConfig(
        task_type=_task(bundle), num_virtual_tokens=len(ids), num_transformer_submodules=1,
        token_dim=table.embedding_dim, num_attention_heads=1, num_layers=1,  # of the first PEFT has need
    )  # fmt: skip
    adapted = _wrap(bundle, config)
    with torch.no_grad():
        # through the layer, which in some families scales what is in its table
        _weight(adapted).copy_(adapted.word_embeddings(ids.to(_weight(adapted).device)))
    return adapted


def add_prefix(bundle: Bundle, ids: Tensor) -> Adapted:
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


def check_network(bundle: TextBundle, method: str, add: Callable[[Bundle, Tensor], Adapted]) -> None:
    """Raises OptionError for a text model that can not work with the virtual tokens that `add` puts in.

    It is tried, and they are taken out again: some networks take no states from outside, and some would answer by
    the padding of a text.
    """
    model = bundle.model
    moves, training = {part: part.requires_grad for part in model.parameters()}, model.training
    short, longer = (torch.tensor(tokens(bundle.tokenizer, text)["input_ids"]) for text in _TEXTS)
    alone, beside = (_rows(texts, bundle.tokenizer.pad_token_id) for texts in ([short], [short, longer]))
    fault = None
    try:
        with torch.no_grad():
            without = model.eval().network(**alone).logits[0]
            adapted = add(bundle, first_words(bundle, 4, None, 0)).eval()
            found, padded = adapted(**alone).logits[0], adapted(**beside).logits[0]
        if torch.equal(found, without):
            fault = "it takes no notice of them"
        elif (found - padded).abs().max() > _TRIAL * found.abs().max():
            fault = "its answer to a text then depends on how long the other texts of the batch are"
    except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        fault = str(error).strip().partition("\n")[0] or type(error).__name__
    finally:
        model.prompted = None
        for part, moved in moves.items():
            part.requires_grad_(moved)
        model.train(training)
    if fault:
        raise OptionError(
            f"--method {method} does not work with {type(model.network).__name__}, which was tried with virtual "
            f"tokens before two texts: {fault.removesuffix('.')}.",
            "Use another method with this model, such as lora.",
        )


def room(name: str, limit: int, count: int) -> int:
    """What `count` virtual tokens leave of the `limit` that a model reads. Raises OptionError if next to none."""
    if count and limit - count < _SHORTEST:
        raise OptionError(
            f"virtual_tokens={count} leave {max(0, limit - count)} of the {limit} tokens that the model {name!r} can "
            "read.",
            f"Use at most {limit - _SHORTEST}.",
        )
    return limit - count


def make_room(bundle: Bundle, count: int, emit: Emit) -> None:
    """What `count` virtual tokens leave of a text model's length. Raises OptionError where that is next to nothing."""
    left = room(bundle.name, bundle.position_limit, count)
    why = f"they stand before every text, so {left} of the {bundle.position_limit} tokens it can read are left for it"
    emit(Decided("virtual_tokens", count, why))
    bundle.position_limit, bundle.max_length = left, min(bundle.max_length, left)


def save(model: TextModel, folder: Path, place: Path) -> None:
    """Write a text model with virtual tokens as PEFT reads it: its base in `folder`/base, what was learned beside it.

    `place` is where the folder will stand, as PEFT looks for the base by its full path. Where the mean is one more
    layer, that one has keys and values too, which are zero.
    """
    from peft import get_peft_model

    folded = model.fold()
    folded.save_pretrained(folder / BASE)
    assert model.prompted is not None
    learned, config = _weight(model.prompted).detach(), copy.copy(model.prompted.active_peft_config)
    if is_prefix(model.prompted) and model.pooling == "mean":
        config.num_layers += 1
        learned = functional.pad(learned, (0, 2 * config.token_dim))
    known = any(part.endswith(("classifier", "score")) for part in model.head_name.split("."))
    config.modules_to_save = None if known else [model.head_name]  # PEFT knows heads of these names
    with quiet_peft():
        whole = get_peft_model(folded, config)
    with torch.no_grad():
        _weight(whole).copy_(learned)
    whole.active_peft_config.base_model_name_or_path = str(place / BASE)
    whole.save_pretrained(folder, save_embedding_layers=False)
    _put_back(folded)


def load(network: Network, folder: Path) -> Adapted:
    """PEFT's model of a base `network` and what `save` wrote beside it."""
    from peft import PeftModel

    with quiet_peft():
        return _with_switch(PeftModel.from_pretrained(network, folder, trust_remote_code=False))


def stands_beside(folder: Path) -> bool:
    """Whether what lies in a text model's folder was written by `save`."""
    return adapter_config(folder).get("peft_type") in _KINDS


def typical_size(bundle: Bundle) -> float:
    """Root mean square of an entry of the embedding table: 0.02 in one family, above 10 in another."""
    table = bundle.model.network.get_input_embeddings().weight
    return float(table.detach().float().square().mean().sqrt())


def can_merge(folder: Path) -> bool:
    """Whether the adapter that is saved in `folder` can become part of the weights: virtual tokens stand before the
    text, and bottleneck adapters are not linear."""
    return adapter_config(folder)["peft_type"] not in (*_KINDS, "BOTTLENECK")


def _task(bundle: Bundle) -> str:
    return {"seq2seq": "SEQ_2_SEQ_LM", "causal": "CAUSAL_LM", "encoder": "SEQ_CLS"}[bundle.kind]


def _wrap(bundle: Bundle, config: PromptLearningConfig) -> Adapted:
    from peft import get_peft_model

    head = [parameter for parameter in new_head(bundle.model) if parameter.requires_grad]
    with quiet_peft():
        adapted = get_peft_model(bundle.model.network, config)
    _put_back(bundle.model.network)
    for parameter in head:
        parameter.requires_grad_(True)
    name = "prompted" if bundle.kind == "encoder" else "adapted"
    # a new wrapper is in training mode
    setattr(bundle.model, name, _with_switch(adapted).train(bundle.model.network.training))
    return adapted


def _with_switch(adapted: Adapted) -> Adapted:
    """What PEFT's `disable_adapter` asks for, which only networks that write have."""
    if not hasattr(adapted, "prepare_inputs_for_generation"):
        adapted.prepare_inputs_for_generation = None
        adapted.get_base_model().prepare_inputs_for_generation = None
    return adapted


def _put_back(network: nn.Module) -> None:
    """The head itself where PEFT has put a copy that learns in its place."""
    from peft.utils import ModulesToSaveWrapper

    for name, module in list(network.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            above, _, own = name.rpartition(".")
            setattr(network.get_submodule(above), own, module.original_module)


def _rows(texts: list[Tensor], padding: int) -> dict[str, Tensor]:
    """Token ids int64 [n] as a batch, padded at the end."""
    ids = nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=padding)
    lengths = torch.tensor([len(text) for text in texts])
    return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}


def _weight(adapted: Adapted) -> nn.Parameter:
    return adapted.prompt_encoder[adapted.active_adapter].embedding.weight


@torch.no_grad()
def _keys_and_values(bundle: Bundle, ids: Tensor) -> list[Tensor]:
    """What the blocks (of the decoder) make of the words `ids`: keys, then values of each, [1, heads, n, width]."""
    from transformers import DynamicCache

    network = bundle.model.network
    if bundle.kind == "encoder":
        network = network.base_model  # keeps none by itself, but fills what it is handed
    words = ids[None].to(network.device)
    more: dict[str, Any] = {"decoder_input_ids": words} if bundle.kind == "seq2seq" else {}
    handed = DynamicCache() if bundle.kind == "encoder" else None
    if handed is not None:
        if "past_key_values" not in signature(network.forward).parameters:
            raise OptionError(_no_place(bundle), "Use method=prompt or method=lora with this model.")
        more["past_key_values"] = handed
    before = network.training
    network.eval()
    output = network(input_ids=words, attention_mask=torch.ones_like(words), use_cache=True, **more)
    network.train(before)
    cache = handed if handed is not None else getattr(output, "past_key_values", None)
    layers = getattr(getattr(cache, "self_attention_cache", cache), "layers", [])
    states = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
    known = [state for state in states if isinstance(state, Tensor)]
    if not known or len(known) < len(states) or len({state.shape for state in known}) > 1:
        raise OptionError(_no_place(bundle), "Use method=prompt or method=lora with this model.")
    return known


def _no_place(bundle: Bundle) -> str:
    name = type(bundle.model.network).__name__
    return f"The blocks of {name} do not all keep keys and values of one shape, so there is no place for a prefix."
