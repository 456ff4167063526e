"""The config and the tokenizer of a model, without its weights."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from tunesmith.core.errors import ModelError
from tunesmith.core.run import is_run
from tunesmith.models.types import Config, Tokenizer


def read_config(model: str) -> tuple[Config, Tokenizer | None, list[str]]:
    """The config of a model, its tokenizer (None where there is none), and what to know about them.

    Only these files are got from the hub. Raises ModelError.
    """
    from transformers import AutoConfig, AutoTokenizer

    from tunesmith.models import catalog
    from tunesmith.models.guard import loading
    from tunesmith.models.loaders.language import check_bases
    from tunesmith.models.pretrained import quiet_transformers
    from tunesmith.models.safety import check_config_alone, code_note
    from tunesmith.models.tokenizer import read_tokenizer

    run = Path(model).expanduser()
    source = catalog.Source(model, None, run / "model", None) if is_run(run) else catalog.find(model)
    where = words = str(source.folder) if source.folder is not None else cast(str, source.hub_id)
    local = source.folder is not None
    if local and not (Path(where) / "config.json").exists():
        where = str(check_bases(Path(where)))
    if local and not (Path(where) / "config.json").exists():
        raise ModelError(f"The model folder {where} has no config.json.", "A plan needs that file only.")
    if local:
        check_config_alone(Path(where), model)
    with quiet_transformers():
        try:
            with loading(where, "config"):
                config = AutoConfig.from_pretrained(where, trust_remote_code=False)
        except ModelError as error:
            if local or not isinstance(error.__cause__, OSError):
                raise
            raise ModelError(
                f"The config of {model!r} is not on this machine and the hub did not give it "
                f"({type(error.__cause__).__name__}).",
                "Check the name and the connection, or pass a folder that holds the model's config.json.",
            ) from None
        notes = [note] if local and (note := code_note(Path(words))) else []
        try:
            if local:
                return config, read_tokenizer(Path(words)), notes
            with loading(words, "tokenizer"):
                return config, AutoTokenizer.from_pretrained(words, trust_remote_code=False), notes
        except ModelError:
            return config, None, [*notes, "no tokenizer was found for the model: tokens are guessed from letters"]
