"""A plan, and how it is said in plain words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.display.cards import Card, Shown
from tunesmith.evaluate import words

if TYPE_CHECKING:
    from tunesmith.families.plan_data import Tokens

WAYS = {
    "full": "all of it", "head": "its last layer", "contrastive": "by comparing rows with each other",
    "lora": "small additions to it", "qlora": "small additions to it, the rest packed into 4 bits",
    "bitfit": "its biases", "ia3": "factors inside it", "gradual": "block after block, from the last one",
    "prompt": "made-up words before each text", "prefix": "made-up words inside every block",
    "adapters": "small layers inside it", "progressive": "a second network beside it", "scratch": "from nothing",
}  # fmt: skip
"""What a method trains of a model."""
PARTS = (("train", "to learn from"), ("validation", "to choose by"), ("test", "to test on"))


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """What a run would take. Bytes, seconds and tokens; `as_dict` is what --json prints."""

    data: str
    form: str
    splits: dict[str, int]
    """Rows to learn from ('train'), to choose by and to test on."""
    model: str
    method: str
    device: str
    precision: str
    attention: str
    parameters: dict[str, int]
    tokens: Tokens | None
    """None of what is not read as tokens; and so is `max_length`."""
    max_length: int | None
    image_size: list[int] | None
    """Height and width, in pixels, of what is read of a picture; None of what is none."""
    batch_size: int
    batch_length: int
    """Tokens of the longest row, which the batch of the peak is made of; of pictures squares of 16 x 16 pixels."""
    epochs: int
    steps: int
    memory: dict[str, float]
    memory_available: float
    fits: bool
    largest_batch: int
    largest_batch_is_at_least: bool
    seconds: float | None
    """None where nothing was measured."""
    seconds_how: str
    disk: dict[str, float]
    notes: list[str]
    """What is unusual."""
    unchecked: list[str]

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def estimate(self) -> dict[str, float | None]:
        """What it takes, as `tunesmith check` has it."""
        return {
            "seconds": self.seconds, "memory_bytes": self.memory["total"],
            "disk_bytes": self.disk["total"],
        }  # fmt: skip

    def _card(self) -> Card:
        level = "good" if self.fits else "poor"
        answer = "It fits into the memory." if self.fits else "It does not fit into the memory."
        return Card("Plan: an estimate, nothing was trained", (level, [answer]), described(self))


def way(method: str) -> str:
    """' (all of it)', or nothing where a method is not known here."""
    return f" ({WAYS[method]})" if method in WAYS else ""


def render(made: Plan, verbose: bool = False) -> str:
    """The plan as a table of plain text, the numbers behind it with `verbose`."""
    lines = [f"{name:9}{text}" for name, text in described(made, verbose)]
    return "\n".join([*lines, "An estimate. Nothing was trained. `tunesmith check` shows how the data is read."])


def described(made: Plan, verbose: bool = False) -> list[tuple[str, str]]:
    """The plan as names and what people read of them."""
    splits = ", ".join(f"{made.splits[name]:,} {use}" for name, use in PARTS if made.splits.get(name))
    rows = sum(made.splits.values())
    found = [
        ("data", f"{made.data}: {rows:,} rows, {splits}"),
        ("would", f"train {made.model} with the method {made.method}{way(made.method)}"),
        ("on", f"{_device(made)}, {words.size(made.memory_available)} of memory free to use"),
        ("reads", f"the rows {_times(made.epochs)}, {made.batch_size} at once: {made.steps:,} steps"),
        ("time", _time(made)),
        ("memory", _memory(made)),
        ("disk", f"{words.size(made.disk['total'])} while it trains, {words.size(made.disk['model'])} afterwards"),
    ]  # fmt: skip
    if made.image_size is not None:
        found.append(("size", "of each picture {} x {} pixels are read (height x width)".format(*made.image_size)))
    if made.tokens is not None and made.max_length is not None:
        found += _lengths(made.tokens, made.max_length)
    found += [("unusual" if not at else "", note) for at, note in enumerate(made.notes)]
    found += [("not", f"checked: {what}") for what in made.unchecked]
    return [*found, *_depth(made)] if verbose else found


def _device(made: Plan) -> str:
    return made.device if made.device == "this machine" else f"a GPU ({made.device})"


def _times(epochs: int) -> str:
    return {1: "once", 2: "twice"}.get(epochs, f"{epochs} times")


def _time(made: Plan) -> str:
    if made.seconds is None:
        return "not measured"
    measured = made.seconds_how.startswith("measured")
    part = "a part of " if made.image_size is None else ""
    how = f"as a short trial with {part}this model took here" if measured else "by the data sheet of the GPU"
    return f"about {words.about(made.seconds)} of training, {how}; testing and the report come on top"


def _memory(made: Plan) -> str:
    needed, free = words.size(made.memory["total"]), words.size(made.memory_available)
    return f"{needed} at the most: it fits" if made.fits else f"{needed} at the most: it DOES NOT FIT into {free}"


def _lengths(tokens: Tokens, most: int) -> list[tuple[str, str]]:
    guessed = ", guessed from letters" if tokens.how.startswith("guessed") else ""
    limit, about = f"{most:,} tokens", f"about {round(most * 0.75):,} words"
    cut = f"nothing; up to {limit} of a row are read, {about}"
    if tokens.longer:
        cut = f"about {tokens.longer:,} of {tokens.rows:,} texts are longer than {limit}, {about} (--max-length)"
    return [
        ("lengths", f"{tokens.mean:,.0f} tokens on average, the longest {tokens.longest:,} (a token is about 3/4 of a "
                    f"word){guessed}"),
        ("cut", cut),
    ]  # fmt: skip


def with_doubts(made: Plan, free_disk: float, *, smaller: str, checkpointing: bool) -> Plan:
    """With what is unusual of its size among the notes. `free_disk`: bytes; `smaller`: what else makes it need less
    memory; `checkpointing`: whether activations are computed again already."""
    notes = list(made.notes)
    if made.disk["total"] > free_disk:
        notes.append("the disk of this folder has less free than the run would write")
    if not made.fits and made.largest_batch:
        notes.append(
            f"it does not fit: a batch of {made.largest_batch} rows does, and gradient_accumulation makes up for the "
            "rest"
        )
    elif not made.fits:
        ways = [] if checkpointing else ["gradient_checkpointing=true"]
        ways += {"full": ["--method lora", "--method qlora"], "lora": ["--method qlora"]}.get(made.method, [])
        if made.tokens is None:
            ways = [way for way in ways if "qlora" not in way]
        notes.append(f"it does not fit with a single row: try {', '.join([*ways, smaller, 'a smaller model'])}")
    return dataclasses.replace(made, notes=notes)


def _depth(made: Plan) -> list[tuple[str, str]]:
    bound = "at least " if made.largest_batch_is_at_least else ""
    of = "" if made.tokens is None else f" of {made.batch_length:,} tokens"
    largest = f"{bound}{made.largest_batch:,} rows{of}" if made.largest_batch else "none"
    parts = ", ".join(f"{name} {_exact(size)}" for name, size in made.memory.items() if name != "total" and size)
    moved = f"{_count(made.parameters['trainable'])}, of them or added, change"
    found = [
        ("weights", f"{_count(made.parameters['total'])}; {moved}"),
        ("numbers", made.precision if made.tokens is None else f"{made.precision}, {made.attention} attention"),
    ]
    if made.tokens is not None:
        found.append(("tokens", f"{made.tokens.total:,} in {made.tokens.rows:,} sequences ({made.tokens.how})"))
    return [
        *found,
        ("peak", parts),
        ("batch", f"the largest that fits: {largest}"),
        ("files", ", ".join(f"{name} {_exact(size)}" for name, size in made.disk.items() if name != "total")),
        ("speed", made.seconds_how),
    ]


def _count(number: int) -> str:
    return f"{number / 1e6:,.1f} million" if number >= 1e6 else f"{number:,}"


def _exact(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
