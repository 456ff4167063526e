"""Small networks with random weights, for `--method scratch` where no base is asked for. They read bytes, so that no
vocabulary of anybody's texts is needed; the same weights on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tunesmith.core.files import full_disk_as_oserror, new_folder
from tunesmith.models import tiny
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.models.types import Config, Network, Tokenizer

_SEED = 0


def encoder(folder: Path) -> None:
    """Four blocks of BERT, 128 wide, for texts of up to 512 bytes. Raises OSError, as the others do."""
    from transformers import BertConfig, BertModel

    tokenizer = tiny.byte_tokenizer("<s> $A </s>", template=None, pair="<s> $A </s> $B:1 </s>:1")
    _write(
        folder, BertModel, BertConfig, tokenizer, 512, hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=512, max_position_embeddings=512,
    )  # fmt: skip


def causal(folder: Path) -> None:
    """Six blocks of Llama, 256 wide, for 1,024 bytes, with a template for conversations."""
    from transformers import LlamaConfig, LlamaForCausalLM

    _write(
        folder, LlamaForCausalLM, LlamaConfig, tiny.byte_tokenizer(), 1_024, hidden_size=256, num_hidden_layers=6,
        num_attention_heads=8, num_key_value_heads=8, intermediate_size=688, max_position_embeddings=1_024,
        tie_word_embeddings=True,
    )  # fmt: skip


def seq2seq(folder: Path) -> None:
    """Four and four blocks of T5, 256 wide."""
    from transformers import T5Config, T5ForConditionalGeneration

    _write(
        folder, T5ForConditionalGeneration, T5Config, tiny.byte_tokenizer("$A </s>", template=None), 512, d_model=256,
        d_kv=32, d_ff=768, num_layers=4, num_heads=8, decoder_start_token_id=0,
    )  # fmt: skip


def _write(
    folder: Path, network: type[Network], config: type[Config], tokenizer: Tokenizer, longest: int, **sizes: Any
) -> None:
    tokenizer.model_max_length = longest
    words = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        made = network(config(**{**words, **sizes}))
    with new_folder(folder) as aside, full_disk_as_oserror(), quiet_transformers():
        made.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
