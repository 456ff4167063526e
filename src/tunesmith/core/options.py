"""Options: declared once, as a pydantic model in the part that uses them.

The attribute docstring is the help text; CLI flag, YAML key, Python argument and the reference page
all come from the model. Names are unique across the parts of one run, so `--set epochs=5` needs no
prefix.
"""

from __future__ import annotations

import itertools
import re
import reprlib
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from tunesmith.core.errors import OptionError, did_you_mean


class Options(BaseModel):
    """Base of all options: unknown names are refused, attribute docstrings are the help.

    Defaults become the declared type too: 8 of a float is 8.0, as it is once it was written and read.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True, validate_default=True)


T = TypeVar("T", bound=Options)

_OTHER_NAMES = {
    "epochs": "num_train_epochs num_epochs n_epochs nb_epochs max_epochs",
    "max_steps": "num_train_steps total_steps training_steps iterations",
    "learning_rate": "lr base_lr peak_lr learning_rate_multiplier body_learning_rate",
    "head_learning_rate": "head_lr",
    "batch_size": "per_device_train_batch_size per_gpu_train_batch_size train_batch_size micro_batch_size "
                  "batchsize bs mini_batch_size per_device_batch_size num_batch",
    "gradient_accumulation": "gradient_accumulation_steps grad_accum accumulate_grad_batches grad_accumulation_steps",
    "max_length": "max_seq_length max_seq_len cutoff_len sequence_len seq_length model_max_length block_size "
                  "max_source_length max_len max_tokens context_length",
    "max_new_tokens": "max_target_length generation_max_length max_completion_length",
    "warmup_ratio": "warmup_steps warmup_proportion warmup_fraction num_warmup_steps",
    "schedule": "lr_scheduler_type lr_scheduler scheduler scheduler_type",
    "max_grad_norm": "grad_clip clip_grad_norm gradient_clip_val max_gradient_norm gradient_clipping",
    "precision": "fp16 bf16 tf32 dtype torch_dtype mixed_precision",
    "weight_decay": "wd decay l2",
    "rank": "lora_r r lora_rank lora_dim", "alpha": "lora_alpha",
    "lora_dropout": "lora_drop",
    "beta": "dpo_beta pref_beta kto_beta", "preference_loss": "loss_type pref_loss",
    "patience": "early_stopping_patience early_stopping",
    "eval_steps": "evaluation_steps eval_every eval_frequency logging_steps",
    "save_steps": "save_every checkpoint_steps save_frequency",
    "template": "chat_template prompt_template conversation_template",
    "group": "group_by group_column", "seed": "random_seed random_state data_seed",
    "test_size": "test_split test_fraction test_ratio", "class_weights": "class_weight",
    "validation_size": "val_size val_split validation_split eval_size val_ratio validation_fraction dev_size",
    "label_smoothing": "label_smoothing_factor smoothing", "method": "finetuning_type tuner_type peft_type peft",
    "model": "model_name_or_path model_name base_model model_id pretrained_model", "packing": "sample_packing pack",
    "target": "label_column label_col target_column label", "text": "text_column text_col dataset_text_field",
    "augment": "augmentation augmentations aa auto_augment autoaugment data_augmentation",
    "flip": "hflip vflip fliplr flipud random_flip", "mixup": "mixup_alpha", "cutmix": "cutmix_alpha",
    "tta": "test_time_augmentation", "ema_decay": "ema model_ema model_ema_decay use_ema",
    "gradient_checkpointing": "use_gradient_checkpointing grad_checkpointing",
}  # fmt: skip
"""Our names of options, and those that other tools have for them."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the option that was meant: by what other tools call it, or by its letters."""
    words = list(known)
    plain = name.lower().replace("-", "_")
    ours = next((mine for mine, others in _OTHER_NAMES.items() if plain in others.split() and mine in words), None)
    return f"It is called {ours!r} here." if ours else did_you_mean(name, words)


def resolve(given: Mapping[str, object], parts: Mapping[str, type[Options]]) -> dict[str, Options]:
    """Hand each given option to the part that declares it, and validate.

    `parts` maps a part's name ('engine', 'method', ...) to its Options model. All faults are
    reported together. Raises OptionError.
    """
    owner: dict[str, str] = {}
    for part, model in parts.items():
        for field in model.model_fields:
            if field in owner:
                raise RuntimeError(f"option {field!r} is declared by both {owner[field]!r} and {part!r}")
            owner[field] = part

    faults = [f"There is no option called {name!r}. {nearest(name, owner)}" for name in given if name not in owner]
    resolved: dict[str, Options] = {}
    for part, model in parts.items():
        mine = {name: value for name, value in given.items() if owner.get(name) == part}
        try:
            resolved[part] = model(**mine)
        except ValidationError as error:
            faults += describe_faults(error, model)
    if faults:
        raise OptionError("\n".join(faults))
    return resolved


def pick(model: type[T], words: Mapping[str, object]) -> T:
    """The options of `model` among these words. Raises OptionError for a value that it refuses."""
    mine = {name: value for name, value in words.items() if name in model.model_fields}
    return cast(T, resolve(mine, {"options": model})["options"])


@cache
def _loader() -> Any:
    """YAML's safe loader, in which only true and false are: `off`, `yes` and `no` are words, and names of labels."""
    import yaml

    class Loader(yaml.SafeLoader):
        def fetch_flow_collection_start(self, token: object) -> None:
            self._refuse_deep(self.flow_level)
            super().fetch_flow_collection_start(token)

        def add_indent(self, column: int) -> bool:
            self._refuse_deep(len(self.indents))
            return bool(super().add_indent(column))

        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)  # the only place where YAML copies what an anchor stands for
            self.merged = getattr(self, "merged", 0) + len(node.value)
            if self.merged > _MOST_PARTS:
                raise yaml.YAMLError(f"with its anchors it stands for more than {_MOST_PARTS:,} values")

        def _refuse_deep(self, depth: int) -> None:
            if depth > _DEEPEST:  # its time is the square of that
                raise yaml.YAMLError("it is nested too deeply")

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:bool"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|false|False)$"), list("tTfF"))
    return Loader


def read_yaml(text: str) -> Any:
    """Plain values from YAML text. Raises yaml.YAMLError, also for what is nested too deeply, numbers of thousands of
    digits, and anchors that stand for far more than is written."""
    import yaml

    try:
        loader = _loader()(text)
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ValueError, OverflowError, TypeError, AttributeError) as error:
        raise yaml.YAMLError(str(error)) from None
    some = list(itertools.islice(_parts(value), _MOST_PARTS))
    if any(isinstance(one, int) and one.bit_length() > _MOST_BITS for one in some):
        raise yaml.YAMLError("a number in it has too many digits")
    if len(some) == _MOST_PARTS:
        raise yaml.YAMLError(f"with its anchors it stands for more than {_MOST_PARTS:,} values")
    return value


_MOST_PARTS = 100_000
_MOST_BITS = 4096
_DEEPEST = 100


def _parts(value: object) -> Iterator[object]:
    """The value and all values in it, as often as they are referred to; endless where one holds itself."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        yield one
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set):
            waiting += one


def parse_value(text: str) -> object:
    """The value of `--set name=value`: YAML scalars and lists, so `5`, `1e-4`, `true`, `[1, 2]` work.

    What YAML reads as `key: value` is text with a colon, such as a prefix 'summarize: ', and kept to the letter.
    """
    import yaml

    try:
        value = read_yaml(text)
    except yaml.YAMLError:
        return text
    begun = text.lstrip()[:1]
    if (isinstance(value, dict) and begun != "{") or (value is None and begun == "#"):  # a comment, to YAML
        return text
    if isinstance(value, dict) and any(value[name] is None and ":" in str(name) for name in value):
        return parse_value(text.replace(":", ": "))  # {spam:2}: YAML wants a space, people do not write one
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 reads 1e-4 (no dot) as a string
        except ValueError:
            return value
    return value


def describe(model: type[Options]) -> list[dict[str, object]]:
    """One row per option: name, type, default, help. For `--help` and the reference page."""
    return [
        {
            "name": name,
            "type": type_name(field.annotation),
            "default": field.get_default(call_default_factory=True),
            "help": " ".join((field.description or "").split()),
        }
        for name, field in model.model_fields.items()
    ]


def type_name(annotation: object) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(str(value) for value in typing.get_args(annotation))
    arguments = typing.get_args(annotation)
    if arguments and (typing.get_origin(annotation) is typing.Union or "|" in str(annotation)):
        return " | ".join(type_name(argument) for argument in arguments)
    if annotation is type(None):
        return "null"
    return getattr(annotation, "__name__", str(annotation)) if not arguments else str(annotation)


def faults_of(model: type[Options], words: Mapping[str, object]) -> list[str]:
    """What is wrong with the values of some of its options: a sentence each."""
    try:
        model(**words)
    except ValidationError as error:
        return describe_faults(error, model)
    return []


def describe_faults(error: ValidationError, model: type[Options]) -> list[str]:
    """One sentence for each option that pydantic refuses: its name, what was given, what was expected."""
    of_option: dict[str, list[Any]] = {}
    for fault in error.errors():
        of_option.setdefault(str(fault["loc"][0]) if fault["loc"] else "", []).append(fault)
    return [_sentence(name, faults, model) for name, faults in of_option.items()]


def _sentence(name: str, faults: list[Any], model: type[Options]) -> str:
    field = model.model_fields.get(name)
    expected = type_name(field.annotation) if field else ""
    first = faults[0]
    if first["type"] == "missing":
        return f"{name!r} is needed (expected {expected})."
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not field:
        return f"{message}."
    got = _SHORT.repr(first["input"])
    if len(faults) > 1 or len(first["loc"]) > 1:  # each of several types says why it is not the one
        return f"Option {name!r}: got {got}, but expected {expected}."
    return f"Option {name!r}: got {got}, but {message} (expected {expected})."


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
