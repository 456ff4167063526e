"""Commands for text that is written: chat, preview, convert, plan, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from tunesmith.cli.arguments import (
    READING,
    Json,
    MaxNewTokens,
    RunPath,
    Verbose,
    Verify,
    print_found,
    renamed,
    run_words,
    verify_model,
)
from tunesmith.cli.help import START, UNDERSTAND, USE, Commands
from tunesmith.core.errors import OptionError
from tunesmith.core.events import Decided, Event, Warned

commands = Commands()


@commands.command(section=USE)
def chat(
    run: RunPath,
    system: Annotated[str | None, typer.Option(help="How the model should behave.")] = None,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest word.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens with this share.")] = 0.95,
    max_new_tokens: MaxNewTokens = None,
    max_tokens: Annotated[int | None, typer.Option(hidden=True)] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same answers.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Text that ends an answer; repeatable.")] = None,
    verify: Verify = False,
) -> None:
    """Talk to a trained model; /help lists the commands inside."""
    from tunesmith.cli.chat import chat_session
    from tunesmith.workflows import chat as workflow

    if max_tokens is not None:
        if max_new_tokens not in (None, max_tokens):
            raise OptionError(f"--max-tokens {max_tokens} and --max-new-tokens {max_new_tokens} contradict each other.")
        renamed("--max-tokens", "--max-new-tokens")
    most = max_new_tokens or max_tokens or 256
    verify_model(run, verify)
    words: dict[str, Any] = {
        "temperature": temperature, "top_p": top_p, "max_new_tokens": most, "seed": seed, "stop": stop or [],
    }  # fmt: skip
    chat_session(workflow.chat(run, system=system, **words))


@commands.command(section=UNDERSTAND)
@run_words(("model", "task", "template", "max_length", "overflow", *READING))
def preview(
    data: str, words: dict[str, Any],
    row: Annotated[
        int | None, typer.Option(metavar="N", help="Which row, from 1; the first, or all of them with --json.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML page instead.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show one row token by token: what is learned, what is only read, what is cut."""
    from tunesmith.core.files import write_text
    from tunesmith.families.generative import preview as workflow

    if "model" not in words:
        told = "preview needs --model: whose tokenizer and chat template the row is shown with."
        raise OptionError(told, "Give a name from `tunesmith models`, a hub id, a folder or a run.")
    row = row if row is not None or as_json else 1
    rows = workflow.previewed(data, row=row, emit=_warn, **{"task": "auto", "overflow": "truncate", **words})
    if as_json:
        workflow.write_json(rows, sys.stdout)
        return
    shown = workflow.rendered(rows, "html" if html else "ansi" if sys.stdout.isatty() else "plain")
    if html is None:
        print(shown)
        return
    page = f'<!DOCTYPE html><html><head><meta charset="utf-8"></head><body>{shown}</body></html>'
    write_text(html, page, private=False)
    print(f"written to {html}")


def _warn(event: Event) -> None:
    """Warnings beside what is printed."""
    if isinstance(event, Warned):
        print(f"{event.what}: {event.message}", file=sys.stderr)


@commands.command(section=USE)
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Data in any format that is known.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .jsonl file to write.")],
    to: Annotated[str, typer.Option(help="openai, messages, sharegpt, alpaca or gemini.")],
    as_json: Json = False,
) -> None:
    """Write conversations in another format; what it can not hold is an error, not a loss."""
    from tunesmith.workflows import convert as workflow

    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            told.append(f"{event.what}: {event.message}")
        elif isinstance(event, Decided):
            told.append(f"{event.what} = {event.value}  ({event.why})")

    count = workflow.convert(source, out, cast(Any, to), emit=listen)
    found = {"rows": count, "out": str(out), "notes": told}
    print_found(found, as_json, lambda found: "\n".join([*found["notes"], f"{found['rows']} rows written to {out}"]))


@commands.command(section=START)
@run_words()
def plan(
    data: str, words: dict[str, Any],
    device: Annotated[
        str | None, typer.Option(metavar="GPU", help="A GPU by name (h100, l4, ...); this machine when not given.")
    ] = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Forecast memory, time and disk of a run, here or on a GPU, before it is paid for. Trains nothing."""
    from tunesmith.cli.show_check import planned
    from tunesmith.workflows import plan as workflow

    found = workflow.plan(data, device=device, **words)
    print_found(found.as_dict(), as_json, lambda _: planned(found, verbose))


@commands.command(section=USE)
def export(
    run: RunPath,
    to: Annotated[str, typer.Option(help="merged: the adapter added to the weights, one plain model.")] = "merged",
    out: Annotated[Path | None, typer.Option(help="Folder to write; RUN/export/merged when not given.")] = None,
    verify: Verify = False,
    as_json: Json = False,
) -> None:
    """Write one plain model out of a run, and check that it answers the same."""
    from tunesmith.workflows import export as workflow

    verify_model(run, verify)
    found = workflow.export(run, to=to, out=out)
    told = "written to {out}: logits differ by at most {largest_difference:.1e}, {answers} greedy answers are the same"
    print_found(found, as_json, lambda found: told.format(**found))
