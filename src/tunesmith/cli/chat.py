"""The terminal of `tunesmith chat`: typed lines in, answers out as they grow."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from tunesmith.core.errors import UsageError
from tunesmith.core.text import visible

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.families.generative.session import ChatSession


def chat_session(
    session: ChatSession, *, stdin: IO[str] | None = None, stdout: IO[str] | None = None, stderr: IO[str] | None = None
) -> None:
    """Talk until the end of input or /quit.

    In a terminal, Ctrl-C stops an answer and Ctrl-D leaves. With input from a pipe every line is asked
    in turn. Standard output gets the answers only; what commands say and mistakes go to standard error,
    and the conversation goes on.
    """
    from rich.console import Console

    source, errors = stdin or sys.stdin, stderr or sys.stderr
    typed = source.isatty()
    console = Console(file=stdout or sys.stdout, highlight=False, markup=False, soft_wrap=True)
    notes: list[str] = []
    session.notify = notes.append
    if typed:
        forgetful = "" if session.remembers else " This model reads every text by itself, without the ones before."
        console.print(f"/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.{forgetful}", style="dim")
    for line in _typed(console) if typed else source:
        if not line.strip():
            continue
        try:
            done = session.command(line)
            if done is None:
                _print_answer(session, console, line.strip())
            elif done:
                notes.append(done)
        except UsageError as error:
            notes.append(f"Error: {error}")
        console.file.flush()
        print(visible("\n".join(notes)), end="\n" if notes else "", file=errors, flush=True)
        notes.clear()
        if not session.open:
            return


def _print_answer(session: ChatSession, console: Console, line: str) -> None:
    stopped = False
    with contextlib.closing(session.reply(line)) as pieces:
        try:
            for piece in pieces:
                console.file.write(visible(piece))
                console.file.flush()
        except KeyboardInterrupt:
            stopped = True
    console.print(" (stopped)" if stopped else "", style="dim")


def _typed(console: Console) -> Iterator[str]:
    """Lines from the keyboard until Ctrl-D; Ctrl-C forgets the line."""
    with contextlib.suppress(ImportError):
        importlib.import_module("readline")  # arrow keys and earlier lines, where Python has it
    while True:
        try:
            yield console.input("> ")
        except KeyboardInterrupt:
            console.print("\nCtrl-D leaves.", style="dim")
        except EOFError:
            console.print()
            return
