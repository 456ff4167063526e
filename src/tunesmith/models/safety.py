"""What is checked before any weight is read: safetensors only, no code from a model folder."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Emit, Warned, ignore

_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.bin", "*.th")
_CODE = ("auto_map", "custom_pipelines", "auto_mapping")
"""Keys of a model folder's JSON that name Python code for transformers or PEFT to fetch and run."""
_VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json")  # any word may be a key of theirs
_HEADER_LIMIT = 100 * 2**20  # bytes; the format's own limit


def check_folder(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The folder's config.json, after checking that its weights are readable safetensors.

    Raises ModelError: no config, pickled weights only, or a file that only calls itself safetensors.
    """
    refuse_pickles([path.name for path in folder.iterdir()], name)
    config = _read_config(folder, name)
    check_weights(folder)
    if note := code_note(folder):
        emit(Warned("code", note))
    return config


def foreign_code(folder: Path) -> dict[str, list[str]]:
    """Name of a JSON file of `folder` -> the classes for which it names code of its own (`auto_map`)."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.json")):
        if path.name in _VOCABULARIES or not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # whoever needs the file says what is wrong with it
        if named := sorted(_classes(content, 0)):
            found[path.name] = named
    return found


def code_note(folder: Path) -> str | None:
    """What to tell of the code that a model folder names and that is not run; None where it names none."""
    found = foreign_code(folder)
    if not found:
        return None
    named = "; ".join(f"{file} names {', '.join(classes)}" for file, classes in found.items())
    return (
        f"the model folder {folder} names Python code of its own, which is never run ({named}): what transformers has "
        "for this type of model takes its place"
    )


def _classes(value: Any, depth: int) -> Iterator[str]:
    """The classes named below the keys of `_CODE`, as 'owner/repo--file.Class' or 'file.Class'."""
    if isinstance(value, dict) and depth < 20:
        for key, inner in value.items():
            if key in _CODE and inner:
                yield from _texts(inner, depth)
            else:
                yield from _classes(inner, depth + 1)


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value[:100]
    elif isinstance(value, dict | list) and depth < 20:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner, depth + 1)


def check_weights(folder: Path) -> None:
    """Raises ModelError where a folder has no weights, or some that are not readable safetensors."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(
            f"The model folder {folder} has no weights.",
            "Expected model.safetensors, or model.safetensors.index.json with its parts.",
        )
    for path in weights:
        _check_header(path)


def refuse_pickles(files: Iterable[str], name: str) -> None:
    """Raises ModelError where weights lie among `files`, and all of them are pickles."""
    files = sorted(files)
    pickles = [file for file in files if any(fnmatch(file, pattern) for pattern in _PICKLES)]
    if pickles and not any(file.endswith(".safetensors") for file in files):
        raise ModelError(
            f"The model {name!r} has only pickled weights ({', '.join(pickles)}); a pickle can run any "
            "code when it is opened, so it is refused.",
            "Convert it once, on a machine that may be lost: AutoModel.from_pretrained(folder)"
            ".save_pretrained('converted'), which writes safetensors; then use --model converted.",
        )


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.exists():
        raise ModelError(
            f"The model folder {folder} has no config.json.",
            "Expected a folder in the Hugging Face layout, as save_pretrained() writes it.",
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(f"{path} does not name a model_type; transformers can not tell what {name!r} is.")
    return config


def _check_header(path: Path) -> None:
    """A safetensors file is 8 bytes of length, that much JSON, then exactly the tensors it lists."""
    size = path.stat().st_size
    fault = None
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            fault = "its header length is impossible"
        else:
            try:
                header = json.loads(file.read(length))
                end = max((v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"), default=0)
                if 8 + length + end != size:
                    fault = f"it should be {8 + length + end} bytes long and is {size}"
            except (ValueError, TypeError, KeyError, AttributeError):
                fault = "its header is not valid JSON"
    if fault:
        raise ModelError(f"{path} is not a whole safetensors file: {fault}.", "Get or convert the file anew.")
