"""What bench/language.py does in processes of its own: the model, the machine's peak, each contender's steps.

Steps are seen from outside: Tunesmith's through the events of a run, the peer's through its callbacks and the
batches that it collates. Once enough steps are seen a process ends, as what comes after is not measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import steps_worker
from language import Meter, folder, peak_bytes

ROWS_A_STEP = 8
LENGTH = 1_024
WARM_UP = {"tunesmith": 5, "peer": 2, "peer-liger": 2, "peer-packed": 1}
SHAPES = {
    "33M": (384, 8, 6, 1_024),
    "0.5B": (1_152, 24, 9, 4_096),
    "1B": (1_792, 22, 14, 5_632),
}
"""Hidden size, layers, heads and inner size of a Llama with GPT-2's vocabulary."""


def work(kind: str, arguments: argparse.Namespace) -> None:
    jobs: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "peak": peak, "model": model, "tunesmith": tunesmith_steps,
    }  # fmt: skip
    answer = jobs[kind](arguments) if kind in jobs else peer_steps(arguments, kind)
    arguments.answer.write_text(json.dumps(answer), encoding="utf-8")


def peak(arguments: argparse.Namespace) -> dict[str, Any]:
    """Operations per second of the fastest matrix products, on the GPU where there is one."""
    import torch

    if not torch.cuda.is_available():
        return steps_worker.peak(arguments) | {"gpu": False}
    size, best = 8_192, 0.0
    left = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    for _ in range(20):
        start = time.perf_counter()
        torch.mm(left, left)
        torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return {"bf16": best, "gpu": torch.cuda.get_device_name()}


def model(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the folder of a model with random weights; answers what the arithmetic depends on."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    hidden, layers, heads, inner = SHAPES[arguments.size]
    torch.manual_seed(0)
    network = LlamaForCausalLM(LlamaConfig(
        vocab_size=50_257, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=inner, max_position_embeddings=LENGTH, tie_word_embeddings=True,
        bos_token_id=50_256, eos_token_id=50_256,
    ))  # fmt: skip
    network.save_pretrained(folder() / arguments.size)
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=gpt2(arguments.tokenizer), eos_token="<|endoftext|>", model_max_length=LENGTH
    )
    tokenizer.save_pretrained(folder() / arguments.size)
    rows = [json.loads(line) for line in (folder() / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    prompts = [len(ids) for ids in tokenizer([row["prompt"] for row in rows])["input_ids"]]
    completions = [1 + len(ids) for ids in tokenizer([row["completion"] for row in rows])["input_ids"]]
    lengths = [min(LENGTH, prompt + learned) for prompt, learned in zip(prompts, completions, strict=True)]
    return {
        "weights": sum(p.numel() for p in network.parameters()),
        "block_weights": sum(p.numel() for p in network.model.layers.parameters() if p.ndim == 2),
        "layers": layers, "hidden": hidden, "vocabulary": 50_257,
        "tokens": sum(lengths), "learned": sum(completions), "squared_tokens": sum(size**2 for size in lengths),
    }  # fmt: skip


def gpt2(files: Path) -> Any:
    """GPT-2's tokenizer from its two files."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    found = Tokenizer(models.BPE.from_file(str(files / "vocab.json"), str(files / "merges.txt")))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    return found


def tunesmith_steps(arguments: argparse.Namespace) -> dict[str, Any]:
    """A run as a user starts it, up to enough steps; the first evaluation and checkpoint are in its memory."""
    import tunesmith

    meter = Meter(WARM_UP["tunesmith"])
    decided: dict[str, Any] = {}

    def listen(event: Any) -> None:
        if event.name == "decided":
            decided[event.what] = event.value
        if event.name == "step" and meter.step(event.tokens) >= arguments.steps:
            raise steps_worker.Enough

    place = tempfile.mkdtemp(prefix="tunesmith-bench-")
    try:
        tunesmith.train(
            str(folder() / "rows.jsonl"), model=str(folder() / arguments.size), method="full", batch_size=ROWS_A_STEP,
            max_length=LENGTH, epochs=3, test_size=0.02, validation_size=0.02, generate_rows=0,
            seed=arguments.number, out=f"{place}/run", listeners=[listen],
        )  # fmt: skip
    except steps_worker.Enough:
        pass
    finally:
        shutil.rmtree(place, ignore_errors=True)
    names = ("precision", "packing", "attention")
    settings = {name: decided[name] for name in names if name in decided}
    return meter.speed() | {"peak_bytes": peak_bytes(), "settings": settings}


def peer_steps(arguments: argparse.Namespace, kind: str) -> dict[str, Any]:
    """SFTTrainer's steps with its defaults: only the number of steps, logging and saving are ours."""
    import torch
    from datasets import load_dataset
    from transformers import AutoTokenizer, TrainerCallback
    from transformers.utils import logging
    from trl import SFTConfig, SFTTrainer

    logging.set_verbosity_error()
    meter, tokens, learned = Meter(WARM_UP[kind]), [0], [0]
    base = str(folder() / arguments.size)

    class Listener(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            meter.step(tokens[-1])

    class Counted(SFTTrainer):  # type: ignore[misc]
        def training_step(self, model: Any, inputs: Any, *rest: Any, **words: Any) -> Any:
            mask, labels = inputs.get("attention_mask"), inputs["labels"]
            tokens.append(int(labels.numel() if mask is None else mask.sum()))
            learned.append(int((labels != -100).sum()))
            return super().training_step(model, inputs, *rest, **words)

    extra: dict[str, Any] = {"peer-packed": {"packing": True}, "peer-liger": {"use_liger_kernel": True}}.get(kind, {})
    with tempfile.TemporaryDirectory() as place:
        config = SFTConfig(
            place, max_steps=WARM_UP[kind] + arguments.steps, seed=arguments.number, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(), **extra,
        )  # fmt: skip
        rows = load_dataset("json", data_files=str(folder() / "rows.jsonl"), split="train", cache_dir=place)
        trainer = Counted(
            model=base, args=config, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(base),
            callbacks=[Listener()],
        )  # fmt: skip
        trainer.train()
    settings = {
        "rows": config.per_device_train_batch_size, "bf16": config.bf16, "weights": trainer.model.dtype,
        "gradient_checkpointing": config.gradient_checkpointing, "optimizer": config.optim.value,
        "max_length": config.max_length, "attention": trainer.model.config._attn_implementation,
        "completion_only_loss": trainer.completion_only_loss,
    }  # fmt: skip
    return meter.speed() | {
        "peak_bytes": peak_bytes(), "learned_share": sum(learned) / sum(tokens),
        "settings": {name: str(value) for name, value in settings.items()},
    }  # fmt: skip
