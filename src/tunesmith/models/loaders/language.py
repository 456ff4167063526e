"""Causal and encoder-decoder language models into memory: bases, earlier runs, adapters beside their base."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import torch

from tunesmith.core.errors import MissingPackageError, ModelError
from tunesmith.core.events import Decided, Emit, Warned, ignore
from tunesmith.core.run import is_run
from tunesmith.models import catalog
from tunesmith.models.additions import ADAPTER, quiet_peft, virtual_tokens
from tunesmith.models.bundle import LanguageBundle, NetworkKind
from tunesmith.models.guard import loading
from tunesmith.models.language import LanguageModel
from tunesmith.models.manifest import check_manifest, read_metadata
from tunesmith.models.own_template import use_template
from tunesmith.models.pretrained import fingerprint, load_network, quiet_transformers
from tunesmith.models.safety import check_adapter_folder, check_config_alone, check_folder, config_alone
from tunesmith.models.tokenizer import needed_tokens, read_tokenizer
from tunesmith.models.types import Config, Network, Tokenizer
from tunesmith.models.virtual import can_merge

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

_ENCODERS = ("bert", "roberta", "electra", "xlm-roberta", "camembert", "megatron-bert", "roformer")
"""In transformers' table of causal models, but published as encoders that fill gaps."""
_PADDING = 1000
"""Embeddings that no token uses: fewer are nothing to wonder at, however small the model."""


def load_language_base(
    name: str, *, kind: NetworkKind, dtype: str = "float32", quantization: str | None = None, beside: bool = False,
    emit: Emit = ignore,
) -> LanguageBundle:  # fmt: skip
    """The base model called `name`: an alias, hub id, folder, or an earlier run, whose adapter is merged.

    `quantization` 'nf4' loads the linear layers in 4 bits with double quantisation (Dettmers et al.
    2023). With `beside`, of a run whose adapter can not be merged the base that it stands beside is loaded, with the
    run's tokenizer. Raises ModelError when the model is unknown, unsafe, or of another kind.
    """
    earlier = Path(name).expanduser() / "model"
    if is_run(earlier.parent) and (earlier / "config.json").exists() | (earlier / ADAPTER).exists():
        source = catalog.Source(name, None, earlier, None)
    else:
        source = catalog.fetch(name, emit)
    assert source.folder is not None
    apart = beside and (source.folder / ADAPTER).exists() and not can_merge(source.folder)
    metadata = read_metadata(source.folder) if apart else {}
    below = Path(metadata["base"]) if apart else source.folder
    network, folder = _network(below, name, kind, dtype, quantization, emit=emit)
    if apart:
        _same_base(source.folder, folder, below, metadata["base_fingerprint"])
    tokenizer = load_language_tokenizer(source.folder, name, emit)
    _check_vocabulary(name, tokenizer, network, emit)
    return LanguageBundle(
        model=LanguageModel(network), tokenizer=tokenizer, name=source.name, folder=below,
        fingerprint=_fingerprint(folder, below),
        position_limit=position_limit(network.config), kind=kind, quantization=quantization,
        licence=source.entry.licence if source.entry else None,
    )  # fmt: skip


def outline(name: str, *, kind: NetworkKind, weights: bool = True, emit: Emit = ignore) -> LanguageBundle:
    """`load_language_base` without its weights: sizes, names, tokenizer and limits of a model that is on this machine.

    With `weights` false they need not be there. Raises ModelError as that does, but for what only the weights can tell.
    """
    earlier = Path(name).expanduser() / "model"
    folder = earlier if is_run(earlier.parent) and earlier.is_dir() else catalog.fetch(name, emit).folder
    assert folder is not None
    below = check_bases(folder)
    if below != folder and not can_merge(folder):
        _refuse_merge(name)
    alone = not weights and config_alone(below)
    check_kind(check_config_alone(below, name) if alone else check_folder(below, name), name, kind)
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    family: Any = AutoModelForCausalLM if kind == "causal" else AutoModelForSeq2SeqLM
    with quiet_transformers(), loading(below, "model"), torch.device("meta"):
        network = family.from_config(
            AutoConfig.from_pretrained(below, trust_remote_code=False), trust_remote_code=False
        )
        _fit_words(network, folder)
    tokenizer = load_language_tokenizer(folder, name, emit)
    _check_vocabulary(name, tokenizer, network, emit)
    limit = position_limit(network.config)
    return LanguageBundle(LanguageModel(network), tokenizer, name, "", limit, below, kind=kind)


def _refuse_merge(name: str) -> NoReturn:
    raise ModelError(
        f"What {name!r} has learned beside its base (virtual tokens, or adapters) can not be merged into the "
        "weights, so it is no base for another training.",
        "Start from its own base, or train it anew with method=lora.",
    )


def check_bases(folder: Path) -> Path:
    """The base below the adapter in `folder`, and below any adapter that this one stands on; the folder itself where
    it holds no adapter. Raises ModelError where a base is gone, or an adapter is its own base."""
    seen: set[Path] = set()
    while (folder / ADAPTER).exists():
        seen.add(folder.resolve())
        metadata = read_metadata(folder)
        base = Path(metadata.get("base", ""))
        if "base" not in metadata or not base.is_dir():
            raise ModelError(
                f"The base of the adapter in {folder} is gone: there is no folder {metadata.get('base')!r}.",
                "Put the base back there, or train again.",
            )
        if base.resolve() in seen:
            raise ModelError(f"The adapter in {folder} names itself, or one that stands on it, as its base.")
        folder = base
    return folder


def _same_base(adapter: Path, weights: Path, base: Path, wanted: str) -> None:
    """Raises ModelError where the adapter belongs to other weights than those of `base`, which lie in `weights`."""
    if _fingerprint(weights, base) != wanted:
        raise ModelError(
            f"The adapter in {adapter} belongs to another base: the weights in {base} are others.",
            "Put the old base back there, or train again.",
        )


def load_language_finished(folder: Path, *, dtype: str = "float32", merge: bool = False) -> LanguageBundle:
    """What a run saved: an adapter beside its base (in 4 bits again where it was trained so), or a whole model.

    With `merge` the adapter is added to the weights. Raises ModelError when files are missing, unsafe or not as they
    were saved.
    """
    check_manifest(folder)
    metadata = read_metadata(folder)
    quantization = metadata.get("quantization")
    network, base = _network(folder, str(folder), metadata["network"], dtype, quantization, merge=merge)
    adapted = None
    if (folder / ADAPTER).exists() and not merge:
        adapted = network
        network = network.get_base_model()
    model = LanguageModel(network)
    model.adapted = adapted
    tokenizer = load_language_tokenizer(folder, str(folder))
    return LanguageBundle(
        model=model.eval(), tokenizer=tokenizer, name=folder.name, folder=folder, fingerprint=fingerprint(base),
        position_limit=position_limit(network.config) - virtual_tokens(model.running), kind=metadata["network"],
        quantization=quantization,
    )  # fmt: skip


def base_of_adapter(folder: Path) -> Network:
    """The network that the adapter in `folder` was trained on: its base with rows for new tokens, and with what an
    earlier run had learned merged into it. In the format of the base's files; in float32 where something was merged.

    Raises ModelError when the base is gone.
    """
    metadata = read_metadata(folder)
    base = Path(metadata["base"])
    network, _ = _network(
        base, str(base), metadata["network"], "float32" if (base / ADAPTER).exists() else "auto", None
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)  # what is in new rows does not matter, but is the same every time
        _fit_words(network, folder)
    return network


def load_language_tokenizer(folder: Path, name: str, emit: Emit = ignore) -> Tokenizer:
    """The tokenizer of a folder, with a padding token. Raises ModelError where there is none."""
    tokenizer = read_tokenizer(folder, emit)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
        emit(Decided("pad_token", tokenizer.pad_token, f"the tokenizer of {name!r} has none; padding is never read"))
    return tokenizer


def _check_vocabulary(name: str, tokenizer: Tokenizer, network: Network, emit: Emit) -> None:
    """Raises ModelError for a tokenizer that is surely of another model. Unused rows prove little: most published
    models have some, up to 2 % of them (Phi) or a few hundred."""
    rows, needed = network.get_input_embeddings().weight.shape[0], needed_tokens(tokenizer)
    says = f"The tokenizer of {name!r} has {len(tokenizer):,} tokens and the model embeddings for {rows:,}"
    fix = "Get both from the same place, or use new_tokens to add words."
    if needed > rows:
        raise ModelError(f"{says}: they do not belong together.", fix)
    unused = rows - needed
    ends = network.config.get_text_config(decoder=True).eos_token_id
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    # a number beyond all embeddings is the default of a configuration that nobody filled in
    if ends and max(needed, len(tokenizer)) <= min(ends) < rows:
        raise ModelError(
            f"{says}, and the one that ends its texts is number {ends[0]:,}, which the tokenizer lacks: they do not "
            "belong together.", fix,
        )  # fmt: skip
    if unused > max(_PADDING, rows // 2):
        raise ModelError(f"{says}, so that most of these would never be used: they do not belong together.", fix)
    if unused > max(_PADDING, rows // 10):
        emit(Warned("vocabulary", f"{says}: {unused:,} are never used. Is it the model's own tokenizer?"))


def add_tokens(bundle: LanguageBundle, tokens: list[str], template: str | None = None, emit: Emit = ignore) -> None:
    """New words for the tokenizer, and the markers of `template` that it lacks (see `use_template`), with
    embeddings that start at the mean of all others (Hewitt 2021), or for a marker at what is nearest in meaning."""
    from tokenizers import AddedToken

    markers = use_template(bundle.tokenizer, template, emit)
    words = [token for token in tokens if token not in bundle.tokenizer.get_vocab()]
    new = [*markers, *words]
    if not new:
        return
    # found as they are written: a normalizer may put a space before them, and then they match nothing within a text
    bundle.tokenizer.add_tokens([AddedToken(word, normalized=False) for word in words])
    before = bundle.model.network.get_input_embeddings().weight.shape[0]
    if len(bundle.tokenizer) > before:
        torch.manual_seed(0)  # the same rows whenever the same base gets the same words
        with quiet_transformers():
            mean = bundle.model.network.device.type != "meta"  # an outline has no values to take a mean of
            bundle.model.network.resize_token_embeddings(len(bundle.tokenizer), mean_resizing=mean)
        _start_near(bundle, markers)
    # all rows that the base lacks, those of its own tokens without an embedding too: an adapter has to hold them
    rows = bundle.model.network.get_input_embeddings().weight.shape[0]
    bundle.new_token_ids = sorted({*bundle.tokenizer.convert_tokens_to_ids(new), *range(before, rows)})
    emit(Decided("new_tokens", len(new), f"added to the vocabulary, their embeddings are trained: {', '.join(new)}"))


@torch.no_grad()
def _start_near(bundle: LanguageBundle, markers: dict[str, str]) -> None:
    """The rows of new markers start as those of the base's own start or end of a text, where it has one: a network
    that knows when a text ends need not learn from nothing that an answer does."""
    for layer in (bundle.model.network.get_input_embeddings(), bundle.model.network.get_output_embeddings()):
        for marker, near in markers.items():
            source = getattr(bundle.tokenizer, f"{near}_id")
            if source is not None and source < len(layer.weight):
                layer.weight[bundle.tokenizer.convert_tokens_to_ids(marker)] = layer.weight[source]


def position_limit(config: Config) -> int:
    text = config.get_text_config(decoder=True)
    for field_name in ("max_position_embeddings", "n_positions", "max_sequence_length"):
        found = getattr(text, field_name, None)
        if found:
            return int(found)
    return 1024  # relative positions (T5): any length works, this is what they are usually trained with


def _network(
    folder: Path,
    name: str,
    kind: NetworkKind,
    dtype: str,
    quantization: str | None,
    *,
    merge: bool = True,
    emit: Emit = ignore,
) -> tuple[Network, Path]:
    """The network of a folder and the folder of its base weights; adapters merged, or left in place."""
    if (folder / ADAPTER).exists():
        check_bases(folder)
        check_adapter_folder(folder)
        if merge and not can_merge(folder):
            _refuse_merge(name)
        from peft import PeftModel

        from tunesmith.models import bottleneck  # noqa: F401 - teaches PEFT the type, should the folder hold one

        metadata = read_metadata(folder)
        base = metadata["base"]
        below, where = _network(Path(base), base, kind, dtype, quantization, emit=emit)
        _same_base(folder, where, Path(base), metadata["base_fingerprint"])
        if merge and quantization:
            with quiet_transformers():
                below.dequantize()  # before the additions: PEFT would merge into 4 bits again, and round
        _fit_words(below, folder)
        with quiet_transformers(), quiet_peft(), loading(folder, "adapter"):
            adapted = PeftModel.from_pretrained(below, folder, trust_remote_code=False)
        if not merge:
            return adapted, where
        with quiet_peft():
            merged = adapted.merge_and_unload()
        return merged.requires_grad_(True), where  # peft had frozen it
    config = check_folder(folder, name, emit)
    check_kind(config, name, kind)
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    family: Any = AutoModelForCausalLM if kind == "causal" else AutoModelForSeq2SeqLM
    network = load_network(
        family, folder, dtype=dtype, attn_implementation="sdpa" if _has_sdpa(config) else None,
        quantization_config=_four_bits(dtype) if quantization else None,
    )  # fmt: skip
    network.config.__dict__.pop("auto_map", None)  # nor does what a run saves name code
    if quantization:
        for module in network.modules():
            # a packed form for inference that needs whole multiples of 32 and downloaded kernels to be faster
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
    return network, folder


def _fit_words(network: Network, adapter: Path) -> None:
    """Rows for the tokens of the folder `adapter` that `network` has none for; the adapter holds what is in them."""
    tokens = len(load_language_tokenizer(adapter, str(adapter)))
    if tokens > network.get_input_embeddings().weight.shape[0]:
        with quiet_transformers():
            network.resize_token_embeddings(tokens, mean_resizing=False)


def _fingerprint(base: Path, folder: Path) -> str:
    """Of base weights, and of the adapter in `folder` that was added to them, if it is another one."""
    return fingerprint(base) + (fingerprint(folder) if folder != base else "")


def check_kind(config: dict[str, Any], name: str, kind: NetworkKind) -> None:
    """Raises ModelError for a model type that is not of the kind."""
    from transformers.models.auto import modeling_auto as auto

    fitting = {
        "causal": auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "seq2seq": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    }
    model_type = config["model_type"]
    architecture = (config.get("architectures") or [""])[0]
    encoder = kind == "causal" and model_type in _ENCODERS and "LMHead" not in architecture
    if model_type not in fitting[kind] or encoder:
        other = "seq2seq" if kind == "causal" else "causal"
        what = {"causal": "a causal language model", "seq2seq": "an encoder-decoder language model"}
        hint = f" It is {what[other]}." if model_type in fitting[other] else ""
        task = {"causal": "chat or preference", "seq2seq": "seq2seq"}[kind]
        instead = {"causal": "seq2seq", "seq2seq": "chat"}[kind]
        also = f" Columns of two texts are learned by this one with --task {instead}." if hint else ""
        raise ModelError(
            f"The model {name!r} ({model_type}) is not {what[kind]}, which the task needs.{hint}",
            f"For --task {task} choose such as {', '.join(catalog.aliases(kind))}, or a folder of that kind.{also}",
        )


def _has_sdpa(config: dict[str, Any]) -> bool:
    from transformers import AutoModel
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    settings, mapping = CONFIG_MAPPING[config["model_type"]], AutoModel._model_mapping
    return bool(getattr(mapping[settings], "_supports_sdpa", False)) if settings in mapping else False


def _four_bits(dtype: str) -> BitsAndBytesConfig:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingPackageError(
            "4-bit weights (--method qlora) need the package bitsandbytes.", "pip install 'tunesmith[qlora]'"
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )  # fmt: skip


class Causal:
    """Decoders that write on; see `models.bundle.Loader`."""

    kind: ClassVar[NetworkKind] = "causal"
    bases: ClassVar[str] = "causal"

    @classmethod
    def fits(cls, folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
        config = check_folder(folder, name, emit)
        check_kind(config, name, cls.kind)
        return config

    @classmethod
    def base(cls, name: str, **how: Any) -> LanguageBundle:
        return load_language_base(name, kind=cls.kind, **how)

    finished = staticmethod(load_language_finished)


class Seq2Seq(Causal):
    """Encoder-decoders, which write what belongs to a source."""

    kind = "seq2seq"
    bases = "seq2seq"
