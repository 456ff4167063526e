"""Opening a model folder: what is checked of it before transformers, PEFT or tokenizers read any of it.

Safetensors only, no code, regular files of this folder, and numbers that its own weights bear out.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Emit, Warned, ignore
from tunesmith.models import bare
from tunesmith.models.adapter_json import check_adapter
from tunesmith.models.model_json import check_config, read_object
from tunesmith.models.own_types import teach_type
from tunesmith.models.weight_files import read_header, read_weights

_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.bin", "*.th")
_CODE = ("auto_map", "custom_pipelines", "auto_mapping")
"""Keys of a model folder's JSON that name Python code for transformers or PEFT to fetch and run."""
_VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json")  # any word may be a key of theirs
ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_READ = (".json", ".txt", ".model", ".jinja", ".safetensors", ".bpe", ".spm", ".tiktoken")
_OBJECTS = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json",
            "added_tokens.json", "sentence_bert_config.json", "processor_config.json", ADAPTER)  # fmt: skip
_MOST_BYTES = 256 << 20
"""The largest tokenizers are some tens of megabytes."""
_ANEW = "Get the model anew."


def check_folder(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The folder's config.json, after checking everything in the folder that a library will read.

    Raises ModelError: no config, pickled weights only, a file that only calls itself safetensors, values that no
    network of these files can have, pipes and devices, links that lead elsewhere.
    """
    if bare.device() is not None:
        return check_config_alone(folder, name)
    check_files(folder)
    refuse_pickles([path.name for path in folder.iterdir()], name)
    config = read_config(folder, name)
    tensors = read_weights(folder)
    check_config(folder / "config.json", config, tensors.longest, len(tensors.shapes))
    if (folder / ADAPTER).exists():
        check_adapter_folder(folder, tensors.longest)
    if note := code_note(folder):
        emit(Warned("code", note))
    return config


def check_config_alone(folder: Path, name: str) -> dict[str, Any]:
    """The folder's config.json, for who needs no weights. Raises ModelError as `check_folder` does."""
    check_files(folder)
    config = read_config(folder, name)
    check_config(folder / "config.json", config)
    return config


def config_alone(folder: Path) -> bool:
    """Whether no weights lie in the folder, of whatever kind."""
    return not any(fnmatch(path.name, pattern) for path in folder.iterdir() for pattern in (*_PICKLES, "*.safetensors"))


def check_adapter_folder(folder: Path, longest: int = 0) -> dict[str, Any]:
    """What PEFT is told of the adapter in a folder, `longest` being the longest side of a tensor of its base.

    Raises ModelError where its weights are no whole safetensors, or where no run of Tunesmith wrote it.
    """
    check_files(folder)
    weights = folder / ADAPTER_WEIGHTS
    if not weights.exists():
        raise ModelError(
            f"The adapter in {folder} has no {ADAPTER_WEIGHTS}; a pickle (adapter_model.bin) can run any code when it "
            "is opened, so none is read.",
            "Get the adapter as safetensors, or train it again.",
        )
    shapes = read_header(weights)
    return check_adapter(folder / ADAPTER, max([longest, *(side for shape in shapes.values() for side in shape)]))


def check_files(folder: Path) -> None:
    """Raises ModelError where a file that a library would read is a pipe, a device, a link to somewhere else, or of a
    size that no such file has; and for JSON that is none."""
    root = folder.resolve()
    inside = [root]
    if root.parent.name == "snapshots":  # the hub's cache keeps contents beside its snapshots
        inside.append(root.parent.parent / "blobs")
    try:
        entries = sorted([
            *folder.iterdir(), *(folder / "1_Pooling").glob("*.json"),
            *(folder / "additional_chat_templates").glob("*.jinja"),
        ])  # fmt: skip
    except OSError as error:
        raise ModelError(f"The model folder {folder} can not be read: {error.strerror}.") from None
    for path in entries:
        if path.suffix not in _READ:
            continue
        try:
            found = path.stat()
        except OSError as error:
            raise ModelError(f"{path} can not be read: {error.strerror}.", _ANEW) from None
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{path} is no file; a model folder holds regular files only.", _ANEW)
        if path.suffix == ".safetensors":
            continue  # its header and its length are checked, wherever it lies
        if not any(path.resolve().is_relative_to(place) for place in inside):
            raise ModelError(
                f"{path} is a link to {path.resolve()}, outside of the model folder.", "Put a copy of it in its place."
            )  # what is read of it would be kept in the run
        if found.st_size > _MOST_BYTES:
            raise ModelError(f"{path} holds {found.st_size:,} bytes, more than any such file needs.", _ANEW)
        if path.name in _OBJECTS:
            content = read_object(path)
            if path.name == "generation_config.json":
                check_config(path, content)


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


def _classes(value: object, depth: int) -> Iterator[str]:
    """The classes named below the keys of `_CODE`, as 'owner/repo--file.Class' or 'file.Class'."""
    if isinstance(value, dict) and depth < 20:
        for key, inner in value.items():
            if key in _CODE and inner:
                yield from _texts(inner, depth)
            else:
                yield from _classes(inner, depth + 1)


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value[:100]
    elif isinstance(value, dict | list) and depth < 20:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner, depth + 1)


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


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """config.json of a folder as it is. Raises ModelError: absent, no JSON object, or without a model_type."""
    path = folder / "config.json"
    if not path.exists():
        raise ModelError(
            f"The model folder {folder} has no config.json.",
            "Expected a folder in the Hugging Face layout, as save_pretrained() writes it.",
        )
    config = read_object(path)
    if not isinstance(config.get("model_type"), str):
        raise ModelError(f"{path} does not name a model_type; transformers can not tell what {name!r} is.")
    teach_type(config["model_type"])
    return config
