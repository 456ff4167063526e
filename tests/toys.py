"""A tiny random BERT with its tokenizer, and the sixty short messages that it learns from."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

_WORDS = (
    "the a is was my your this it and not i you we thanks sorry please where when how why what card order "
    "parcel refund app money password broken lost late happy angry works arrived help again never good bad"
)


def save_bert(folder: Path) -> Path:
    """Two random blocks (32 wide, some 30 thousand weights, the same at every call) and a tokenizer, in `folder`."""
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


def tickets() -> list[dict[str, str]]:
    """Sixty short messages in three classes that share no telling word: easy, and no two alike."""
    subjects = ["card", "order", "parcel", "refund", "app"]
    patterns = {
        "praise": ["thanks, the {0} works again", "my {0} arrived and i am happy", "good {0}, thanks you {1}",
                   "happy with this {0} and the {1}"],
        "complaint": ["the {0} is broken", "i am angry, my {0} was lost", "this {0} is bad, not the {1}",
                      "sorry but your {0} never works"],
        "question": ["where is my {0}?", "how and when is the {0} here?", "why the {0}, what is it?",
                     "when is a {0} what a {1} was?"],
    }  # fmt: skip
    return [
        {"text": pattern.format(subject, subjects[number - 1]), "label": label}
        for label, some in patterns.items()
        for pattern in some
        for number, subject in enumerate(subjects)
    ]
