"""Tiny bases of random weights, the same at every call, as a folder that could have been published: what the toys of
tasks learn on. A task brings one (`engine.protocols.Toy`); nothing here is for use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tunesmith.models.types import Config, Network, Tokenizer

_WORDS = (
    "the a is was my your this it and not i you we thanks sorry please where when how why what card order "
    "parcel refund app money password broken lost late happy angry works arrived help again never good bad"
)
_TEXT = ["say something to the user please", "the answer of the assistant is good and short", "where is my parcel"]
CONTEXT = 256
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def encoder(folder: Path) -> Path:
    """Two blocks of BERT (32 wide, some 30 thousand weights) and a tokenizer of a few words and all letters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("0123456789.,?!'@#-")
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *_WORDS.split()]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64,
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder


def efficientnet_lite(folder: Path) -> Path:
    """Five small blocks of EfficientNet-Lite, maps of strides 2, 4 and 8, for pictures of 32 x 32 pixels."""
    from tunesmith.models.efficientnet_lite import EfficientNetLiteConfig, EfficientNetLiteModel
    from tunesmith.models.processor import plain

    torch.manual_seed(0)
    config = EfficientNetLiteConfig(
        image_size=32, stem_size=8, hidden_sizes=[8, 12, 16], depths=[1, 2, 2], kernel_sizes=[3, 3, 5],
        strides=[1, 2, 2], expand_ratios=[1, 2, 2], hidden_size=32,
    )  # fmt: skip
    EfficientNetLiteModel(config).save_pretrained(folder)
    plain(32).save(folder)
    return folder


def causal(folder: Path) -> Path:
    """Two blocks of GPT-2, whose layers have biases, so that every method finds something to move."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return _saved(folder, GPT2LMHeadModel, GPT2Config, n_embd=32, n_layer=2, n_head=2, n_positions=CONTEXT)


def seq2seq(folder: Path) -> Path:
    """Two and two blocks of T5."""
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
    return _saved(folder, T5ForConditionalGeneration, T5Config, ends="$A </s>", template=None, **sizes)


def byte_tokenizer(ends: str | None = None, template: str | None = CHATML, pair: str | None = None) -> Tokenizer:
    """256 bytes, the special tokens, and what 40 merges make of a few words. `ends`: what stands around a text, as in
    "<s> $A </s>", and `pair` around two."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    raw = tokenizers.Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    size = len(SPECIAL) + len(alphabet) + 40
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(_TEXT, trainer)
    if ends:
        raw.post_processor = processors.TemplateProcessing(
            single=ends, pair=pair, special_tokens=[(token, SPECIAL.index(token)) for token in ("<s>", "</s>")]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=CONTEXT
    )
    if template:
        made.chat_template = template
    return made


def _saved(
    folder: Path,
    network: type[Network],
    config: type[Config],
    *,
    ends: str | None = None,
    template: str | None = CHATML,
    **sizes: Any,
) -> Path:
    tokenizer = byte_tokenizer(ends, template)
    words = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    network(config(**{**words, **sizes})).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
