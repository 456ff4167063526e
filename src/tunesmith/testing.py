"""The conformance suite: what a line in a TABLE, or an entry point of another package, promises.

    from tunesmith.testing import conformance
    test_mine = conformance(methods=["mine"])          # pytest: one test for each task, toy and method

A task brings ten rows (`toys`); they are training, validation and test data at once, as all that is asked is whether
they can be learned. It needs pytest, no network and no data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.files import write_text
from tunesmith.runs.choose import families_of, family_of_task
from tunesmith.runs.train import Run

_WORDS = (
    "the a is was my your this it and not i you we thanks sorry please where when how why what card order "
    "parcel refund app money password broken lost late happy angry works arrived help again never good bad"
)


def conformance(
    tasks: Sequence[str] | None = None, methods: Sequence[str] | None = None,
    base: Callable[[Path], Path] | None = None, **words: Any,
) -> Callable[..., None]:  # fmt: skip
    """A test for pytest. `tasks`, `methods`: all that fit each other when not given; `base`: writes a tiny model into a
    folder, a random encoder when not given (tasks of other networks are then left out); `words`: of `tunesmith.train`.
    """
    import pytest

    found = [case for case in cases(tasks, methods) if base or loader_of(case[0]) == "encoder"]

    @pytest.mark.parametrize(("task", "toy", "method"), found)
    def test(task: str, toy: int, method: str, tmp_path: Path) -> None:
        check(task, toy, method, tmp_path, base or tiny_encoder, **words)

    return test


def cases(tasks: Sequence[str] | None = None, methods: Sequence[str] | None = None) -> Iterator[tuple[str, int, str]]:
    """(task, number of its toy, method) for all that fit each other."""
    for task in tasks or registry.names("tasks"):
        for toy in range(len(registry.get("tasks", task).toys())):
            for method in methods or registry.names("methods"):
                if family_of_task(task) in families_of(method):
                    yield task, toy, method


def loader_of(task: str) -> str:
    """The kind of network of a task, a name of `models.loaders`."""
    plugin = registry.get("tasks", task)
    return str(vars(plugin).get("network") or plugin.loader)


def check(task: str, toy: int, method: str, folder: Path, base: Callable[[Path], Path], **words: Any) -> Run:
    """Train on a toy, load what was saved and ask it. Raises AssertionError for what a plugin must keep to."""
    import tunesmith

    found = registry.get("tasks", task).toys()[toy]
    rows = folder / "rows.jsonl"
    write_text(rows, "".join(json.dumps(row) + "\n" for row in found.rows))
    usual = {"task": task, "method": method, "model": str(base(folder / "base")), "precision": "fp32", "batch_size": 5}
    usual |= {"epochs": 4, "learning_rate": 3e-3, "verbose": False}
    run = tunesmith.train(
        str(rows), validation=str(rows), test=str(rows), out=folder / "run", **{**usual, **found.words, **words}
    )
    assert run.folder.status() == "finished"
    asked = _inputs(run, found.rows)
    assert run.model.predict(asked) == tunesmith.load(run.path).predict(asked), "the saved model answers otherwise"
    _refuses_what_it_does_not_know(task, method, str(rows), folder)
    return run


def _inputs(run: Run, rows: Sequence[dict[str, Any]]) -> list[Any]:
    columns = vars(run.model).get("columns")
    if columns is None:  # a model that writes
        return [str(next(iter(row.values()))) for row in rows[:2]]
    first, *others = columns.inputs
    return [tuple(row[name] for name in columns.inputs) if others else row[first] for row in rows]


def _refuses_what_it_does_not_know(task: str, method: str, rows: str, folder: Path) -> None:
    import tunesmith

    words: dict[str, Any] = {"task": task, "method": method, "no_such_option": 1}
    try:
        tunesmith.train(rows, out=folder / "refused", **words)
    except OptionError:
        return
    raise AssertionError("an option that nobody has was taken")


def tiny_encoder(folder: Path) -> Path:
    """Two random blocks of BERT (32 wide, some 30 thousand weights, the same at every call) and a tokenizer."""
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
