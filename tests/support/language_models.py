"""Tiny random language models of several families, with a byte-level tokenizer and a ChatML template.

`folder("llama")` builds one (some 40 thousand weights, 1 to 3 tenths of a second) the first time it is asked for.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from tunesmith.models.tiny import CHATML, CONTEXT, byte_tokenizer

CAUSAL = ("llama", "llama-tied", "gpt2", "gemma2")
SEQ2SEQ = ("t5", "bart", "m2m100")
_HOME = tempfile.TemporaryDirectory(prefix="tunesmith-language-")


def tokenizer(family: str = "llama", *, template: bool = True) -> Any:
    """256 bytes, the special tokens, and what 40 merges make of a few words."""
    ends = {"t5": "$A </s>", "m2m100": "$A </s>", "bart": "<s> $A </s>"}
    return byte_tokenizer(ends.get(family), CHATML if template and family not in SEQ2SEQ else None)


def network(family: str, **changes: Any) -> Any:
    """A random network, float32, the same at every call; `changes` go into its configuration."""
    import transformers as hf

    words: dict[str, Any] = {"vocab_size": len(tokenizer()), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    blocks = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
              "intermediate_size": 48, "max_position_embeddings": CONTEXT}  # fmt: skip
    torch.manual_seed(0)
    if family in ("llama", "llama-tied"):
        tied = family == "llama-tied"
        return hf.LlamaForCausalLM(hf.LlamaConfig(**{**words, **blocks, "tie_word_embeddings": tied, **changes}))
    if family == "gpt2":
        gpt2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT}
        return hf.GPT2LMHeadModel(hf.GPT2Config(**{**words, **gpt2, **changes}))
    if family == "gemma2":  # a low cap, so that its absence shows
        gemma = {"head_dim": 16, "final_logit_softcapping": 0.2, "initializer_range": 0.2}
        return hf.Gemma2ForCausalLM(hf.Gemma2Config(**{**words, **blocks, **gemma, **changes}))
    if family == "t5":
        t5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
        return hf.T5ForConditionalGeneration(hf.T5Config(**{**words, **t5, **changes}))
    if family == "m2m100":
        m2m100 = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
                  "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
                  "max_position_embeddings": CONTEXT, "decoder_start_token_id": 2}  # fmt: skip
        return hf.M2M100ForConditionalGeneration(hf.M2M100Config(**{**words, **m2m100, **changes}))
    assert family == "bart"
    bart = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
            "max_position_embeddings": CONTEXT, "decoder_start_token_id": 2, "forced_eos_token_id": 2}  # fmt: skip
    made = hf.BartForConditionalGeneration(hf.BartConfig(**{**words, **bart, **changes}))
    made.final_logits_bias.normal_()  # zero in a new network; published ones have some
    return made


@cache
def folder(family: str, *, template: bool = True) -> Path:
    """A model folder as one is published: configuration, safetensors, tokenizer."""
    path = Path(_HOME.name) / (family if template else f"{family}-without-template")
    network(family).save_pretrained(path)
    tokenizer(family, template=template).save_pretrained(path)
    return path
