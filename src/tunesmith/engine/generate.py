"""Answers from a generative model: many at once, or one as it grows.

    generate(model, tokenizer, prompts, Sampling(), stop_ids=ending_ids(model, tokenizer))
    for piece in stream(model, tokenizer, prompt, Sampling(temperature=0.7, seed=1), ...): print(piece, end="")

One loop serves both. An answer depends on its prompt, the sampling and its row only: which rows share
a batch, or that memory ran out and a batch was halved, does not change it (in float32). Of the model's
generation config only what the architecture needs is used (where a decoder starts, its forced first
token): penalties and temperatures that a base model ships with are not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from tunesmith.core.errors import ModelError
from tunesmith.core.options import Options
from tunesmith.engine.batching import by_length
from tunesmith.engine.encoded import padded
from tunesmith.engine.inference import evaluating, in_memory
from tunesmith.models.additions import is_prefix, virtual_tokens
from tunesmith.models.types import Network, Tokenizer

BATCH_TOKENS = 8_192
"""Tokens of a batch, prompts and longest answers together: what its key-value cache must hold."""
BATCH_TOKENS_CPU = 4_096
"""The same on a processor: more is no faster there, and takes more memory than training does."""

Reason = Literal["stop", "length"]


class Sampling(Options):
    """How the next token is chosen and when an answer ends."""

    max_new_tokens: int = Field(default=256, ge=1)
    """Most tokens of an answer; the model's context may allow fewer."""
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """0 takes the likeliest token every time; higher is more varied."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw from the likeliest tokens that hold this share of the probability (Holtzman et al. 2020)."""
    top_k: int | None = Field(default=None, ge=1)
    """Draw from this many of the likeliest tokens."""
    seed: int | None = Field(default=None, ge=0)
    """The same seed draws the same answers; none draws new ones every time."""
    stop: list[str] = Field(default_factory=list)
    """Texts that end an answer and are not part of it; a single one needs no list."""

    @field_validator("stop", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("stop")
    @classmethod
    def _not_empty(cls, value: list[str]) -> list[str]:
        if "" in value:
            raise ValueError("an empty text ends every answer before it begins")
        return value


@dataclass(frozen=True)
class Generated:
    """An answer. `ids` are its tokens without the ending one; `text` has neither special tokens nor stop texts.

    `reason`: "stop" where the model ended it (a stop id or a stop text), "length" where room ran out.
    """

    text: str
    ids: list[int]
    reason: Reason

    @property
    def stopped(self) -> bool:
        return self.reason == "stop"


def ending_ids(model: Network, tokenizer: Tokenizer) -> set[int]:
    """The tokens that end an answer: the tokenizer's, and those of the model's generation config."""
    found = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = found if isinstance(found, list) else [found]
    return {int(token) for token in [*listed, tokenizer.eos_token_id] if token is not None}


def name_ends(model: Network, ids: Iterable[int]) -> None:
    """Write down in the model's generation config which tokens end an answer, so that plain `generate` stops too."""
    if getattr(model, "generation_config", None) is not None:
        ends = sorted(ids)
        model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]


def begin_with(model: Network, token: int | None) -> None:
    """Every answer of an encoder-decoder begins with this token, its language's; None changes nothing."""
    if token is not None:
        model.generation_config.forced_bos_token_id = token


def context_length(model: Network) -> int | None:
    """Most tokens that the model reads and writes together; None where its architecture sets no limit."""
    text = model.config.get_text_config(decoder=True)
    limit = getattr(text, "max_position_embeddings", None)
    return None if limit is None else limit - virtual_tokens(model)


def generate(
    model: Network,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    stop_ids: Collection[int],
    check: Callable[[], None] = lambda: None,
    batch_tokens: int | None = None,
) -> list[Generated]:
    """The answers to `prompts` (token ids, none empty), in their order.

    Causal models, encoder-decoders, and either with PEFT's adapters in place. Batches are prompts of
    similar length, of `batch_tokens` with their answers (by the device when not given); when memory runs
    out a batch is halved. A prompt that fills the context gets an empty answer with reason "length". The
    model's own device computes. `check` is called after each step and may raise.
    Raises ValueError for an empty prompt.
    """
    seeds = _seeds(sampling, len(prompts))
    answers = [_Answer(tokenizer, sampling, stop_ids, seeds[row]) for row in range(len(prompts))]
    lengths = np.array([len(prompt) + sampling.max_new_tokens for prompt in prompts], dtype=np.int64)
    if batch_tokens is None:
        batch_tokens = BATCH_TOKENS_CPU if model.device.type == "cpu" else BATCH_TOKENS

    def write(some: np.ndarray) -> None:
        batch = [answers[row] for row in some]
        for answer in batch:
            answer.restart()
        for _ in _grow(model, [prompts[row] for row in some], batch, sampling):
            check()

    with evaluating(model):
        for some in by_length(lengths, tokens=batch_tokens):
            in_memory(write, some)
    return [answer.generated() for answer in answers]


def stream(
    model: Network,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    sampling: Sampling,
    *,
    stop_ids: Collection[int],
) -> Generator[str, None, Generated]:
    """Pieces of one answer as they are ready; together they are `generate(...)[0].text`.

    Text that may still change is held back: characters whose bytes have not all come, and the
    beginning of a stop text. The generator returns the `Generated`; closing it ends the work.
    """
    answer = _Answer(tokenizer, sampling, stop_ids, _seeds(sampling, 1)[0])
    before, shown = model.training, 0
    model.eval()
    try:
        for _ in _grow(model, [prompt], [answer], sampling):
            ready = answer.ready()
            if len(ready) > shown:
                yield ready[shown:]
                shown = len(ready)
    finally:
        model.train(before)
    found = answer.generated()
    if len(found.text) > shown:
        yield found.text[shown:]
    return found


def _seeds(sampling: Sampling, rows: int) -> list[np.random.SeedSequence]:
    """One for each row, so that a row's draws do not depend on its company."""
    return np.random.SeedSequence(sampling.seed).spawn(rows)


class _Answer:
    """One answer while it grows."""

    def __init__(
        self, tokenizer: Tokenizer, sampling: Sampling, stop_ids: Collection[int], seed: np.random.SeedSequence
    ):
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._seed = seed
        special = tokenizer.get_added_vocab() if sampling.stop else {}
        self._stop_ids = {*stop_ids, *(special[text] for text in sampling.stop if text in special)}
        # a character takes up to four byte tokens; some more, so that the first ones decode in context
        self._tail = 4 * max(map(len, sampling.stop), default=0) + 8
        self.restart()

    def restart(self) -> None:
        self.ids: list[int] = []
        self.reason: Reason | None = None
        self.random = np.random.default_rng(self._seed)

    def take(self, token: int, room: int) -> None:
        if token in self._stop_ids:
            self.reason = "stop"
            return
        self.ids.append(token)
        if self._sampling.stop and any(text in self._decoded(self.ids[-self._tail :]) for text in self._sampling.stop):
            self.reason = "stop"
        elif len(self.ids) >= room:
            self.reason = "length"

    def ready(self) -> str:
        """The text that no further token can change."""
        if self.reason:
            return self.generated().text
        text = self._decoded(self.ids).rstrip("\ufffd")
        beginnings = (stop[:length] for stop in self._sampling.stop for length in range(1, len(stop)))
        held = max((len(beginning) for beginning in beginnings if text.endswith(beginning)), default=0)
        return text[: len(text) - held]

    def generated(self) -> Generated:
        text = self._decoded(self.ids)
        ends = [text.find(stop) for stop in self._sampling.stop if stop in text]
        return Generated(text[: min(ends, default=len(text))], self.ids, self.reason or "length")

    def _decoded(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def _grow(
    model: Network, prompts: Sequence[Sequence[int]], answers: list[_Answer], sampling: Sampling
) -> Iterator[None]:
    """Add one token to every unfinished answer per step, until all are finished."""
    if not all(map(len, prompts)):
        raise ValueError("A prompt has no tokens; begin it with the beginning-of-sequence token.")
    context, encodes = context_length(model), model.config.is_encoder_decoder
    rooms = [sampling.max_new_tokens] * len(prompts)
    if context is not None:
        # an encoder-decoder has one context for reading and one for writing, which holds its first two tokens
        left = [context - len(prompt) for prompt in prompts]
        rooms = [min(sampling.max_new_tokens, context - 2 if encodes and some >= 0 else some) for some in left]
    rows = [row for row, room in enumerate(rooms) if room > 0]  # of the batch, in its order
    if not rows:
        return
    decoding = _Decoding(model, [prompts[row] for row in rows])
    while True:
        uniform = [answers[row].random.random() for row in rows] if sampling.temperature else []
        tokens = _choose(decoding.logits(), sampling, uniform)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if answers[row].reason is None:
                answers[row].take(token, rooms[row])
        yield
        unfinished = [place for place, row in enumerate(rows) if answers[row].reason is None]
        if not unfinished:
            return
        decoding.append(tokens)
        if len(unfinished) <= len(rows) // 2:  # copying the cache pays when it halves
            decoding.keep(unfinished)
            rows = [rows[place] for place in unfinished]


def _choose(logits: Tensor, sampling: Sampling, uniform: Sequence[float]) -> Tensor:
    """Tokens int64 [r] from logits float32 [r, v]; `uniform` are the rows' draws from [0, 1).

    Temperature, then top-k, then top-p, as in transformers; the draw inverts the cumulated probability.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    logits = (logits - logits.amax(dim=-1, keepdim=True)) / sampling.temperature
    shares, order = logits.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    if sampling.top_k is not None:
        shares[:, sampling.top_k :] = 0
        shares /= shares.sum(dim=-1, keepdim=True)
    before = shares.cumsum(dim=-1) - shares
    shares = shares.masked_fill(before >= sampling.top_p, 0)
    cumulated = shares.double().cumsum(dim=-1)
    drawn = torch.tensor(uniform, dtype=torch.float64, device=logits.device)[:, None] * cumulated[:, -1:]
    return order.gather(-1, torch.searchsorted(cumulated, drawn, right=True)).squeeze(-1)


class _Decoding:
    """A batch of prompts, what has been decoded after them, and the key-value cache of both."""

    def __init__(self, model: Network, prompts: Sequence[Sequence[int]]):
        self._model = model.get_base_model() if hasattr(model, "peft_config") else model
        self._accepted = inspect.signature(self._model.forward).parameters
        self._cache: Any = None
        self._states: Tensor | None = None
        encodes = self._model.config.is_encoder_decoder
        ids, self._mask = (tensor.to(model.device) for tensor in padded(prompts, left=not encodes))
        self._prompt = self._begun(model, len(prompts))
        if encodes:
            self._states = self._encoded(ids)
            ids = torch.tensor([self._decoder_start()] * len(prompts), device=model.device)
        self._ids = ids

    @torch.no_grad()
    def _begun(self, model: Network, rows: int) -> Tensor | None:
        """Virtual tokens of PEFT: learned keys and values fill the cache, a learned prompt [1, tokens, hidden] is
        given back, to be put before what is read first. They come before the padding, as in training."""
        count, encodes = virtual_tokens(model), self._model.config.is_encoder_decoder
        if not count:
            return None
        if not (encodes and is_prefix(model)):  # there the encoder sees nothing of it
            self._mask = torch.cat([self._mask.new_ones(rows, count), self._mask], dim=1)
        if is_prefix(model):
            self._cache = model.get_prompt(rows)
            return None
        return model.get_prompt(1)

    def _read(self, ids: Tensor) -> dict[str, Tensor]:
        """The ids, or their embeddings with the learned prompt before them."""
        if self._prompt is None:
            return {"input_ids": ids}
        words = self._model.get_input_embeddings()(ids)
        return {"inputs_embeds": torch.cat([self._prompt.to(words.dtype).expand(len(ids), -1, -1), words], dim=1)}

    @torch.no_grad()
    def logits(self) -> Tensor:
        """Of each row's next token, float32 [r, v]."""
        inputs: dict[str, Any] = {"attention_mask": self._mask, "past_key_values": self._cache, "use_cache": True}
        if self._states is not None:
            from transformers.modeling_outputs import BaseModelOutput

            inputs |= {"decoder_input_ids": self._ids, "encoder_outputs": BaseModelOutput(self._states)}
        else:
            read = self._read(self._ids) if self._cache is None else {"input_ids": self._ids}
            length = next(iter(read.values())).shape[1]
            positions = (self._mask.cumsum(dim=-1) - 1).clamp(min=0)[:, -length:]
            inputs |= {**read, "position_ids": positions, "logits_to_keep": 1}
        with _states_in_one_piece(self._model):
            output = self._model(**{name: value for name, value in inputs.items() if name in self._accepted})
        self._cache = getattr(output, "past_key_values", None)
        return output.logits[:, -1].float()

    def append(self, tokens: Tensor) -> None:
        """The tokens int64 [r] that were chosen. A model without a cache reads everything again."""
        new = tokens[:, None]
        self._ids = new if self._cache is not None else torch.cat([self._ids, new], dim=1)
        if self._states is None:
            self._mask = torch.cat([self._mask, torch.ones_like(new)], dim=1)

    def keep(self, places: list[int]) -> None:
        """Drop all rows but these."""
        chosen = torch.tensor(places, device=self._ids.device)
        self._ids, self._mask = self._ids[chosen], self._mask[chosen]
        if self._states is not None:
            self._states = self._states[chosen]
        if self._cache is not None:
            self._cache.reorder_cache(chosen)

    @torch.no_grad()
    def _encoded(self, ids: Tensor) -> Tensor:
        return self._model.get_encoder()(**self._read(ids), attention_mask=self._mask)[0]

    def _decoder_start(self) -> list[int]:
        """The token that a decoder starts with, and the one forced after it (the language of mBART or NLLB)."""
        settings, config = self._model.generation_config, self._model.config
        start = settings.decoder_start_token_id
        start = getattr(config, "decoder_start_token_id", None) if start is None else start
        start = settings.bos_token_id if start is None else start
        if start is None:
            raise ModelError("The model's config has no decoder_start_token_id.", "Add it to its config.json.")
        return [start] if settings.forced_bos_token_id is None else [start, settings.forced_bos_token_id]


@contextmanager
def _states_in_one_piece(model: Network) -> Iterator[None]:
    """The output matrix gets the last states of each row, cut out of those of all tokens, in memory of their own: torch
    multiplies a frozen matrix by such cuts after a copy of it for every row."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
    try:
        yield
    finally:
        hook.remove()
