"""What annotations call the things of libraries that take seconds to import: names alone, which import nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import PeftModel as Adapted
    from transformers import PretrainedConfig as Config
    from transformers import PreTrainedModel as Network
    from transformers import PreTrainedTokenizerBase as Tokenizer
else:
    Adapted = Config = Network = Tokenizer = Any

__all__ = ["Adapted", "Config", "Network", "Tokenizer"]
