"""export: one plain model out of a run, checked to answer as the run does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from tunesmith.core.errors import FolderError, OptionError, RunFailed
from tunesmith.core.files import copy_folder, full_disk_as_oserror, new_folder, own_folder, written_to
from tunesmith.core.run import RunFolder
from tunesmith.engine.generate import Sampling, begin_with, name_ends
from tunesmith.families.generative.predictor import TextGenerator
from tunesmith.models.additions import ADAPTER
from tunesmith.models.loaders.language import load_language_finished
from tunesmith.models.manifest import write_manifest
from tunesmith.models.metadata import write_metadata
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.models.virtual import can_merge, stands_beside
from tunesmith.runs.load import predictor_of

TARGETS = ("merged",)
_TOLERANCE = 1e-4
_PROMPTS = ("Once", "The weather today", "Hello, who are you?", "1 2 3 4")


def export(
    run: str | os.PathLike[str], *, to: str = "merged", out: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Write the run's model with its adapter merged into the weights, as plain transformers folder; a run without an
    adapter is whole already, and gets a copy.

    Adapter, merged and reloaded model must give the same logits (within 1e-4 in float32) and the same
    greedy answers; the export fails if not. Returns {"out", "largest_difference", "answers"}. Raises
    OptionError, FolderError, RunFailed.
    """
    if to not in TARGETS:
        raise OptionError(f"--to {to}: expected one of {', '.join(TARGETS)}.")
    folder = RunFolder.open(Path(run))
    if not folder.result.exists():
        raise FolderError(f"The run {run} is not finished ({folder.status()}).", f"tunesmith resume {run}")
    target = Path(out) if out else folder.path / "export" / to
    if target.exists() and not target.is_dir():
        raise FolderError(f"{target} is a file; expected a folder that does not exist yet.", "Give another --out.")
    if target.exists() and any(target.iterdir()):
        raise FolderError(f"The folder {target} is not empty.", "Give another one with --out.")
    kind, _ = predictor_of(folder.model)
    if not issubclass(kind, TextGenerator):
        reader = "peft" if stands_beside(folder.model) else "transformers"
        raise OptionError(
            f"The run {run} writes no text: {folder.model} is a plain {reader} folder already.", "Use it as it is."
        )
    adapter = (folder.model / ADAPTER).exists()
    if adapter and not can_merge(folder.model):
        raise OptionError(
            f"What the run {run} has learned (method {folder.load_spec().method}) stands beside the weights of its "
            "base and is no change of them, so there is nothing that could be merged.",
            f"Use {folder.model} as it is: it is read beside its base. For one plain model train with method=lora.",
        )
    trained = kind.load(folder.model)
    if not out:
        own_folder(target.parent)
    with written_to(target), new_folder(target, private=False) as aside, full_disk_as_oserror():
        if adapter:
            _merge(folder.model, trained, aside)
            write_manifest(aside)
        else:
            copy_folder(folder.model, aside)
        apart, answers = _compare(trained, kind.load(aside))
    return {"out": str(target), "largest_difference": apart, "answers": answers}


def _merge(model: Path, trained: TextGenerator, out: Path) -> None:
    merged = load_language_finished(model, merge=True)
    name_ends(merged.model.network, trained.stop_ids)
    begin_with(merged.model.network, trained.codec.first)
    with quiet_transformers():
        merged.model.network.config.use_cache = True
        merged.model.network.save_pretrained(out)
        merged.tokenizer.save_pretrained(out)
    write_metadata(out, {**trained.metadata, "quantization": None})


def _compare(trained: TextGenerator, merged: TextGenerator) -> tuple[float, int]:
    """Largest difference of logits, and how many greedy answers were compared. Raises RunFailed."""
    worst = 0.0
    for text in _PROMPTS:
        ids = torch.tensor([trained.prompt_ids(text)])
        inputs: dict[str, Any] = {"input_ids": ids}
        if trained.bundle.kind == "seq2seq":
            inputs["decoder_input_ids"] = ids[:, :1]
        with torch.no_grad():
            first, second = (one.bundle.model.running(**inputs, use_cache=False).logits for one in (trained, merged))
        worst = max(worst, float((first - second).abs().max()))
    ours, theirs = (one.generate(_PROMPTS, Sampling(max_new_tokens=24)) for one in (trained, merged))
    same = [answer.ids for answer in ours] == [answer.ids for answer in theirs]
    if not worst <= _TOLERANCE or not same:
        raise RunFailed(
            f"The merged model does not answer as the trained one: logits differ by {worst:.3g} "
            f"(allowed {_TOLERANCE}), greedy answers are {'the same' if same else 'different'}.",
            "Nothing was written; use the adapter beside its base.",
        )
    return worst, len(_PROMPTS)
