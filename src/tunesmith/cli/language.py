"""Commands for text that is written: chat, preview, convert, plan, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.arguments import (
    Data,
    Json,
    MethodName,
    ModelName,
    RunPath,
    Settings,
    Target,
    TaskName,
    Template,
    Text,
    print_found,
    words_of,
)
from tunesmith.core.files import write_text

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def chat(
    run: RunPath,
    system: Annotated[str | None, typer.Option(help="How the model should behave.")] = None,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest word.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens with this share.")] = 0.95,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 256,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same answers.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Text that ends an answer; repeatable.")] = None,
) -> None:
    """Talk to a trained model; /help lists the commands inside."""
    from tunesmith.cli.chat import chat_session
    from tunesmith.core.options import resolve
    from tunesmith.engine.generate import Sampling
    from tunesmith.workflows.chat import ChatSession
    from tunesmith.workflows.language_model import TextGenerator
    from tunesmith.workflows.load import language_folder

    model = TextGenerator.load(language_folder(run))
    words = {
        "temperature": temperature, "top_p": top_p, "max_new_tokens": max_tokens, "seed": seed, "stop": stop or [],
    }  # fmt: skip
    sampling = resolve(words, {"sampling": Sampling})["sampling"]
    assert isinstance(sampling, Sampling)
    encode = (lambda messages: model.prompt_ids(messages)) if model.conversational else None
    session = ChatSession(
        model.bundle.model.running, model.bundle.tokenizer, system=system, sampling=sampling, encode=encode,
        stop_ids=sorted(model.stop_ids),
    )  # fmt: skip
    session.remembers = model.conversational
    chat_session(session)


@commands.command()
def preview(
    data: Data,
    model: Annotated[str, typer.Option(help="Whose tokenizer and chat template: a name, hub id, folder or run.")],
    row: Annotated[int | None, typer.Option(help="Which row, from 1; the first, or all of them with --json.")] = None,
    task: TaskName = None,
    template: Template = None,
    html: Annotated[Path | None, typer.Option(help="Write an HTML page instead.")] = None,
    max_length: Annotated[int | None, typer.Option(min=2, help="Show what is cut at this many tokens.")] = None,
    overflow: Annotated[str, typer.Option(help="Over-long rows: truncate, drop or error.")] = "truncate",
    as_json: Json = False,
) -> None:
    """Show one row token by token: what is learned, what is context, what is cut."""
    from tunesmith.workflows import preview as workflow

    rows = workflow.previewed(
        data, model=model, row=row if row is not None or as_json else 1, task=task or "auto", template=template,
        max_length=max_length, overflow=overflow,
    )  # fmt: skip
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


@commands.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Data in any format that is known.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .jsonl file to write.")],
    to: Annotated[str, typer.Option(help="openai, messages, sharegpt, alpaca or gemini.")],
    as_json: Json = False,
) -> None:
    """Write conversations in another format; what it can not hold is an error, not a loss."""
    from tunesmith.workflows import language_use as workflow

    count = workflow.convert(source, out, to)
    print_found({"rows": count, "out": str(out)}, as_json, lambda found: f"{found['rows']} rows written to {out}")


@commands.command()
def plan(
    data: Data, text: Text = None, target: Target = None, task: TaskName = None, model: ModelName = None,
    method: MethodName = None,
    device: Annotated[
        str | None, typer.Option(help="A GPU by name (h100, l4, ...); this machine when not given.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Most tokens of an example.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in one step.")] = None,
    epochs: Annotated[int | None, typer.Option(help="How often every row is seen.")] = None,
    settings: Settings = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Memory, time, disk and tokens of a run before it is paid for; loads no weights."""
    from tunesmith.workflows import plan as workflow

    words = words_of(
        settings, text=text, target=target, task=task, model=model, method=method, max_length=max_length,
        batch_size=batch_size, epochs=epochs,
    )  # fmt: skip
    found = workflow.plan(data, device=device, **words)
    print_found(found.as_dict(), as_json, lambda _: workflow.render(found))


@commands.command()
def export(
    run: RunPath,
    to: Annotated[str, typer.Option(help="merged: the adapter added to the weights, one plain model.")] = "merged",
    out: Annotated[Path | None, typer.Option(help="Folder to write; RUN/export/merged when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Write one plain model out of a run, and check that it answers the same."""
    from tunesmith.workflows import export as workflow

    found = workflow.export(run, to=to, out=out)
    print_found(
        found, as_json,
        lambda f: f"written to {f['out']}: logits differ by at most {f['largest_difference']:.1e}, "
        f"{f['answers']} greedy answers are the same",
    )  # fmt: skip
