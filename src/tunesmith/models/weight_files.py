"""What the weight files of a model folder say of themselves: safetensors headers and their index, read with care."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from tunesmith.core.errors import ModelError
from tunesmith.core.files import open_regular
from tunesmith.models.model_json import read_object

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_HEADER_LIMIT = 100 * 2**20  # bytes; the format's own limit


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
    from safetensors import SafetensorError, safe_open

    try:
        with open_regular(path) as file:
            text = file.read(min(int.from_bytes(file.read(8), "little"), _HEADER_LIMIT))
        # sizes, offsets and lengths are for the library to check; it takes names that come twice, and unknown fields
        with safe_open(path, framework="numpy") as opened:
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        header = json.loads(text, object_pairs_hook=_once)
    except OSError as error:
        raise ModelError(f"{path} can not be read: {error.strerror}.", _ANEW) from None
    except (SafetensorError, ValueError) as error:
        cut = "it should be longer, or shorter, by its header" if "not fully covered" in str(error) else str(error)
        raise _fault(path, cut) from None
    for name in shapes:
        if set(header[name]) != {"dtype", "shape", "data_offsets"} or len(shapes[name]) > 16:
            raise _fault(path, f"the tensor {name[:100]!r} has not a dtype, a shape and two offsets")
    return shapes


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError(f"one of the names {', '.join(name[:100] for name in list(made)[:5])} stands there twice")
    return made


def _fault(path: Path, reason: str) -> ModelError:
    return ModelError(f"{path} is not a whole safetensors file: {reason}.", "Get or convert the file anew.")
