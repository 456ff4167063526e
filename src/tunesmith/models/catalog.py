"""Base models known by a short name, and how any name becomes a folder of weights.

A name is, in this order: an alias of the catalogue, a local folder, or a hub id (`owner/name`).
Asking for a hub id is asking for the network; nothing else here uses it.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from tunesmith.core.cache import cache_folder
from tunesmith.core.errors import ModelError, did_you_mean
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.core.files import sha256
from tunesmith.models.safety import check_config_alone, refuse_pickles


@dataclass(frozen=True)
class Entry:
    """A line of catalog.csv, the first of each kind the default: `parameters` in millions, `embeddings` the part of
    them in the word table."""

    alias: str
    parameters: float
    embeddings: float
    hidden_size: int
    layers: int
    max_length: int
    licence: str
    languages: str
    note: str
    hub_id: str | None = None
    package: str | None = None
    weights_sha256: str | None = None
    kind: str = "encoder"
    """encoder, causal (writes on from a text), seq2seq (reads one text, writes another) or vision (reads pictures)."""
    writer: str | None = None
    """Module whose `write` makes the model on this machine, of a base with random weights: nobody publishes those."""


TASKS = {
    "encoder": ("text-classification", "text-regression"),
    "causal": ("chat", "preference"),
    "seq2seq": ("seq2seq",),
    "vision": ("image-classification",),
}
"""Kind of model -> the tasks that it fits."""
DEFAULT = "minilm"
_HUB_SECONDS = 10.0
"""How long the hub may take to say whether it has a model."""

with Path(__file__).with_name("catalog.csv").open(encoding="utf-8", newline="") as _table:
    _rows = [{name: said for name, said in row.items() if said} for row in csv.DictReader(_table)]
CATALOG = TypeAdapter(tuple[Entry, ...]).validate_python(_rows)


_LANGUAGES = {"English": "en", "German": "de", "French": "fr", "Romanian": "ro"}
_MANY = frozenset(
    re.findall(
        "[a-z]+",
        "af am ar az be bg bn ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km "
        "kn ko lo lt lv mk ml mn mr ms my ne nl no pa pl pt ro ru si sk sl sq sr sv sw ta te th tl tr uk ur uz vi zh",
    )
)
"""Languages of the models for about 100: those of XLM-R (Conneau et al. 2020, appendix A) that `data.languages` tells
apart."""


def speaks(name: str) -> frozenset[str] | None:
    """Codes of the languages that a base was made for; None where the catalogue does not know it, or it reads no
    text."""
    entry = next((entry for entry in CATALOG if name in (entry.alias, entry.hub_id)), None)
    if entry is None or entry.kind == "vision":
        return None
    if entry.languages.startswith("about"):
        return _MANY
    return frozenset(_LANGUAGES[language] for language in entry.languages.split(", "))


def for_longer(reads: int, language: str | None) -> Entry | None:
    """The text encoder that reads most, if that is more than `reads` tokens, of those made for a language (its code;
    None: for any). One that is on this machine comes first."""
    fitting = [
        entry for entry in CATALOG
        if entry.kind == "encoder" and entry.max_length > reads
        and (language is None or language in (speaks(entry.alias) or ()))
    ]  # fmt: skip
    here = on_this_machine()
    return max(fitting, key=lambda entry: (entry.alias in here, entry.max_length), default=None)


def is_untrained(name: str) -> bool:
    """Whether a base has random weights, which are made on this machine."""
    return any(entry.writer is not None and entry.alias == name for entry in CATALOG)


@dataclass(frozen=True)
class Source:
    """Where a base model's files lie. `folder` is None until it was fetched from the hub."""

    name: str
    """What the user called it."""
    hub_id: str | None
    folder: Path | None
    entry: Entry | None


@dataclass(frozen=True)
class Size:
    """Parameters of the whole network, and of its word table (which costs memory, not time)."""

    parameters: float
    embeddings: float
    hidden_size: int
    layers: int


def size_of(source: Source) -> Size | None:
    """From the catalogue, or from the config of a folder on this machine; None when neither is there."""
    if source.entry:
        entry = source.entry
        return Size(entry.parameters * 1e6, entry.embeddings * 1e6, entry.hidden_size, entry.layers)
    if source.folder is None or not (source.folder / "config.json").exists():
        return None
    config = check_config_alone(source.folder, source.name)
    hidden = _number(config, "hidden_size", "dim")
    layers = _number(config, "num_hidden_layers", "n_layers")
    inner = _number(config, "intermediate_size", "hidden_dim") or 4 * hidden
    if not hidden or not layers:
        return None
    embeddings = _number(config, "vocab_size") * hidden
    body = layers * (4 * hidden * hidden + 2 * hidden * inner)
    return Size(embeddings + body, embeddings, hidden, layers)


def _number(config: Mapping[str, object], *keys: str) -> int:
    """The first of the keys that holds a number other than 0; 0 where none does."""
    found = (config.get(key) for key in keys)
    return next((int(one) for one in found if isinstance(one, int | float) and one), 0)


def aliases(kind: str | None = None) -> list[str]:
    """Names of the catalogue, or of its models of one kind."""
    return [entry.alias for entry in CATALOG if kind in (None, entry.kind)]


def default(kind: str) -> str:
    """The model of a kind that is taken when none is asked for: the first one."""
    return aliases(kind)[0]


def find(name: str) -> Source:
    """Where `name` lies on this machine, without any network. Raises ModelError for a name that is
    neither an alias, a folder nor a possible hub id."""
    entry = next((e for e in CATALOG if name in (e.alias, e.hub_id)), None)
    if entry:
        return Source(name, entry.hub_id, _local(entry), entry)
    path = Path(name).expanduser()
    if path.is_dir():
        return Source(name, None, path, None)
    if path.exists():
        raise ModelError(f"--model {name} is a file; expected a folder with config.json and safetensors.")
    looks_like_path = name.startswith((".", "/", "~", os.sep)) or name.count("/") != 1
    if looks_like_path:
        raise ModelError(
            f"There is no model called {name!r}, and no folder of that name.",
            did_you_mean(name, aliases()),
        )
    return Source(name, name, _cached(name), None)


def fetch(name: str, emit: Emit = ignore) -> Source:
    """Like `find`, but gets a hub model that is not on this machine yet, or makes one that has random weights.

    Raises ModelError when the hub does not answer, naming the models that are here.
    """
    source = find(name)
    if source.folder is None and source.entry and source.entry.writer:
        source = replace(source, folder=_written(source.entry, source.entry.writer))
    if source.folder is not None:
        origin = (
            "an installed package"
            if source.entry and source.entry.package and source.entry.package in str(source.folder)
            else ""
        )
        where = origin or ("the local hub cache" if source.hub_id else "a local folder")
        if source.entry and source.entry.writer:
            where = "chance: they are random, and the model learns from your data alone; it was written into"
        emit(Decided("model", source.name, f"weights come from {where}: {source.folder}"))
        return source
    assert source.hub_id is not None
    return Source(source.name, source.hub_id, _download(source.hub_id), source.entry)


def on_this_machine() -> list[str]:
    """Aliases whose weights need no network."""
    return [entry.alias for entry in CATALOG if entry.writer or _local(entry) is not None]


def check_weights(source: Source) -> None:
    """Refuse packaged weights that differ from the published ones. Raises ModelError."""
    entry = source.entry
    if entry is None or entry.weights_sha256 is None or source.folder is None:
        return
    found = sha256(source.folder / "model.safetensors")
    if found != entry.weights_sha256:
        raise ModelError(
            f"The weights of {entry.alias!r} in {source.folder} are not the published ones: "
            f"sha256 {found}, expected {entry.weights_sha256}.",
            f"Reinstall the package ({str(entry.package).replace('_', '-')}), or pass a folder you trust with --model.",
        )


def _local(entry: Entry) -> Path | None:
    if entry.writer:
        folder = cache_folder() / "models" / entry.alias
        return folder if (folder / "config.json").exists() else None
    return _packaged(entry) or (_cached(entry.hub_id) if entry.hub_id else None)


def _written(entry: Entry, writer: str) -> Path:
    """The folder of a model that is made here, in the user's cache. Raises ModelError where that can not be written."""
    folder = cache_folder() / "models" / entry.alias
    try:
        importlib.import_module(writer).write(folder)
    except OSError as error:
        raise ModelError(
            f"The model {entry.alias!r} is made on this machine, and {folder} can not be written: {error.strerror}.",
            "Set XDG_CACHE_HOME to a folder that can be.",
        ) from None
    return folder


def _packaged(entry: Entry) -> Path | None:
    if entry.package is None:
        return None
    spec = importlib.util.find_spec(entry.package)  # finds it without running its code
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "config.json").exists() else None


def _cached(hub_id: str) -> Path | None:
    """The newest complete snapshot in the local hub cache (its layout: refs/main names a commit)."""
    from huggingface_hub import constants

    repo = Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"
    main = repo / "refs" / "main"
    if not main.exists():
        return None
    snapshot = repo / "snapshots" / main.read_text().strip()
    complete = (snapshot / "config.json").exists() and any(snapshot.glob("*.safetensors"))
    return snapshot if complete else None


def _download(hub_id: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    wanted = ["*.json", "*.txt", "*.model", "*.safetensors"]
    try:
        # asked first: a download would try for half a minute to reach nobody, and fetch no pickle to speak of
        info = HfApi().model_info(hub_id, timeout=_HUB_SECONDS)
        refuse_pickles([file.rfilename for file in info.siblings or ()], hub_id)
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except ModelError:
        raise
    except HFValidationError:
        raise ModelError(f"{hub_id!r} is not a hub id.", did_you_mean(hub_id, aliases())) from None
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, HfHubHTTPError) and status in (401, 404):
            message = f"The hub has no model {hub_id!r} that you may read."
            raise ModelError(message, did_you_mean(hub_id, aliases())) from None
        here = on_this_machine()
        local = (
            f"Models on this machine: {', '.join(here)}."
            if here
            else ("No model is on this machine; `pip install 'tunesmith[quickstart]'` brings minilm.")
        )
        raise ModelError(
            f"The model {hub_id!r} is not on this machine and the hub can not be reached ({type(error).__name__}).",
            f"{local} Or pass a local folder with --model.",
        ) from None
