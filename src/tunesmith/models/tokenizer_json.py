"""tokenizer.json and tokenizer_config.json of a model folder, read before transformers reads them.

A tokenizer is a small program of somebody else: what it replaces can make gigabytes of one sentence, and what it puts
around a text can leave the text out. What is only wrong is left to `guard`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tunesmith.models.model_json import Fault, read_object

_MOST_GROWTH = 64
"""Letters that all replacements of a tokenizer together may make of one; those of published ones make one of one."""
_MOST_PIECES = 64
_TOKEN_KEYS = frozenset({"content", "single_word", "lstrip", "rstrip", "normalized", "special", "id", "__type"})


def check_tokenizer_files(folder: Path) -> None:
    """Raises ModelError, naming the key, for values that make more of a text than it is, or nothing, or that are of
    another kind than transformers takes them for."""
    path = folder / "tokenizer_config.json"
    if path.exists():
        for key, value in read_object(path).items():
            _check_setting(Fault(path, key, value))
            _check_tokens(path, key, value, listed=key == "added_tokens_decoder")
    path = folder / "special_tokens_map.json"
    if path.exists():
        for key, value in read_object(path).items():
            _check_tokens(path, key, value, listed=key == "extra_special_tokens")
    path, config = folder / "tokenizer.json", folder / "config.json"
    if path.exists():
        types = read_object(config).get("type_vocab_size") if config.exists() else None
        types = max(types, 2) if isinstance(types, int) else None
        found = read_object(path, large=True)
        _check_growth(Fault(path, "normalizer", found.get("normalizer")))
        for step in _steps(found.get("post_processor"), "processors"):
            if step.get("type") == "TemplateProcessing":
                for form in ("single", "pair"):
                    _check_pieces(Fault(path, f"post_processor.{form}", step.get(form)), types, needed=form == "single")


def _check_setting(fault: Fault) -> None:
    value = fault.value
    if fault.key == "model_max_length":
        number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 1
        fault.demand(value is None or number, "a number of tokens")
    elif fault.key == "chat_template":
        named = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
        good = isinstance(value, list) and len(named) == len(value) and all(
            isinstance(one.get("name"), str) and isinstance(one.get("template"), str) for one in named
        )  # fmt: skip
        fault.demand(
            value is None or isinstance(value, str) or good, "a text, or a list of objects with a name and a template"
        )
    elif fault.key in ("padding_side", "truncation_side"):
        fault.demand(value in (None, "left", "right"), "'left' or 'right'")


def _check_tokens(path: Path, key: str, value: object, listed: bool = False) -> None:
    """Raises ModelError for a token with other keys than tokens have: the library prints those as they are."""
    tokens = value.values() if listed and isinstance(value, dict) else value if isinstance(value, list) else [value]
    for token in tokens:
        if isinstance(token, dict) and (listed or "content" in token or path.name == "special_tokens_map.json"):
            other = sorted(token.keys() - _TOKEN_KEYS)
            expected = f"a token with no other keys than {', '.join(sorted(_TOKEN_KEYS - {'__type', 'id'}))}"
            Fault(path, key, {name: token[name] for name in other}).demand(not other, expected)


def _check_growth(fault: Fault) -> None:
    growth, before = 1, 0
    for step in _steps(fault.value, "normalizers"):
        growth *= max(1, len(str(step.get("content", ""))))
        before += len(str(step.get("prepend", "")))
    fault.demand(max(growth, before) <= _MOST_GROWTH, f"replacements that make at most {_MOST_GROWTH} letters of one")


def _check_pieces(fault: Fault, types: int | None, *, needed: bool) -> None:
    pieces = fault.value if isinstance(fault.value, list) else []
    texts = sum(isinstance(piece, dict) and "Sequence" in piece for piece in pieces)
    fault.demand(len(pieces) <= _MOST_PIECES and texts <= 2, f"at most {_MOST_PIECES} tokens around each text, once")
    for number in (one.get("type_id") for piece in pieces for one in _objects(piece)):
        if types is not None and isinstance(number, int):
            fault.demand(number < types, f"each type_id below {types}, the number of types in config.json")
    fault.demand(bool(texts) or not needed, "the text itself ('Sequence') between its special tokens")


def _objects(piece: object) -> list[dict[str, object]]:
    return [one for one in piece.values() if isinstance(one, dict)] if isinstance(piece, dict) else []


def _steps(value: object, within: str, depth: int = 0) -> Iterator[dict[str, object]]:
    """The steps of a part of tokenizer.json: itself, or those of a sequence."""
    if not isinstance(value, dict) or depth > 8:
        return
    inner = value.get(within)
    if isinstance(inner, list):
        for one in inner:
            yield from _steps(one, within, depth + 1)
    else:
        yield value
