"""What the weight files of a model folder say of themselves: safetensors headers and their index, read with care.

The format: 8 bytes of length, that much JSON, then exactly the bytes of the tensors that it lists.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.errors import ModelError
from tunesmith.core.files import open_regular
from tunesmith.models.model_json import read_object

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_HEADER_LIMIT = 100 * 2**20  # bytes; the format's own limit
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Tensors:
    """Shapes by name, of all weight files of a folder."""

    shapes: dict[str, tuple[int, ...]]

    @property
    def longest(self) -> int:
        """The longest side of any of them."""
        return max((side for shape in self.shapes.values() for side in shape), default=0)

    @property
    def entries(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())


def read_weights(folder: Path) -> Tensors:
    """The tensors of model.safetensors, or of the files of its index.

    Raises ModelError: no such file, one that is not whole safetensors, or an index that names something else than
    safetensors files of the folder, or a tensor in two of them.
    """
    if (folder / WEIGHTS).exists():
        return Tensors(read_header(folder / WEIGHTS))
    path = folder / INDEX
    if not path.exists():
        raise ModelError(
            f"The model folder {folder} has no weights.",
            f"Expected {WEIGHTS}, or {INDEX} with its parts.",
        )
    index = read_object(path).get("weight_map")
    if not isinstance(index, dict) or not index:
        raise ModelError(f"{path}: expected a weight_map of tensors and their files.", _ANEW)
    shapes: dict[str, tuple[int, ...]] = {}
    for name in dict.fromkeys(map(str, index.values())):
        if Path(name).name != name or not name.endswith(".safetensors") or "\\" in name:
            raise ModelError(
                f"{path} names {name!r} as a file of weights; expected safetensors files in the same folder.", _ANEW
            )
        if not (folder / name).exists():
            raise ModelError(f"{path} names {name!r}, which is not in the folder.", _ANEW)
        found = read_header(folder / name)
        twice = sorted(shapes.keys() & found.keys())
        if twice:
            raise ModelError(f"{folder}: the tensor {twice[0]!r} is in two of the files that {path.name} names.", _ANEW)
        absent = sorted(tensor for tensor, file in index.items() if file == name and tensor not in found)
        if absent:
            raise ModelError(f"{path} says that {absent[0]!r} is in {name}, which lacks it.", _ANEW)
        shapes |= found
    return Tensors(shapes)


_ANEW = "Get or convert the model anew."


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a safetensors file. Raises ModelError where it is not whole and well-formed."""
    try:
        with open_regular(path) as file:
            size = path.stat().st_size
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
                raise _fault(path, "its header length is impossible")
            text = file.read(length)
    except OSError as error:
        raise ModelError(f"{path} can not be read: {error.strerror}.", _ANEW) from None
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except _Twice as twice:
        raise _fault(path, f"its header names {twice} twice") from None
    except (ValueError, RecursionError):
        raise _fault(path, "its header is not valid JSON") from None
    if not isinstance(header, dict):
        raise _fault(path, "its header is no JSON object")
    header.pop("__metadata__", None)
    spans = []
    for name, entry in header.items():
        begin, end, fault = _span(entry)
        if fault:
            raise _fault(path, f"the tensor {name[:100]!r} {fault}")
        spans.append((begin, end))
    reached = 0
    for begin, end in sorted(spans):
        if begin != reached:
            raise _fault(path, "its tensors overlap, or leave gaps")
        reached = end
    if 8 + length + reached != size:
        raise _fault(path, f"it should be {8 + length + reached} bytes long and is {size}")
    return {name: tuple(entry["shape"]) for name, entry in header.items()}


def _span(entry: Any) -> tuple[int, int, str]:
    """First byte, byte behind the last, and what is wrong with the entry ('' where nothing is)."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return 0, 0, "has not a dtype, a shape and two offsets"
    shape, offsets, bits = entry["shape"], entry["data_offsets"], _BITS.get(str(entry["dtype"]))
    if bits is None:
        return 0, 0, f"has an unknown dtype {str(entry['dtype'])[:40]!r}"
    if not _whole(shape):
        return 0, 0, "has a shape that is none"
    if not _whole(offsets) or len(offsets) != 2:
        return 0, 0, "has offsets that are none"
    begin, end = offsets
    if (end - begin) * 8 != math.prod(shape) * bits:
        return 0, 0, f"has {end - begin} bytes, which do not fit its shape {shape} in {entry['dtype']}"
    return begin, end, ""


def _whole(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 16 and all(type(one) is int and 0 <= one < 2**53 for one in value)


class _Twice(Exception):
    """A key that an object has twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise _Twice(repr(name)[:100])
        made[name] = value
    return made


def _fault(path: Path, reason: str) -> ModelError:
    return ModelError(f"{path} is not a whole safetensors file: {reason}.", "Get or convert the file anew.")
