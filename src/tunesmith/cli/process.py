"""What surrounds every command: signals, streams, and errors as one message and an exit code."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from tunesmith.cli.screen import paint
from tunesmith.core.errors import DataError, Stopped, TunesmithError, UsageError
from tunesmith.core.files import DISK_FULL, nowhere
from tunesmith.core.renamed import RenamedWarning
from tunesmith.core.text import visible

_BROKEN_PIPE = 141
"""Exit code of a process whose reader left, as the shells have it (128 + SIGPIPE)."""


def run(app: Callable[..., object]) -> None:
    """Run the command line; every known error becomes a message and its exit code."""
    _prepare_streams()
    warnings.formatwarning = _formatted
    _stop_on_signals()
    code: Any = None
    try:
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except TunesmithError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `tunesmith runs | head`
        _drop_output()
        sys.exit(_BROKEN_PIPE)
    except MemoryError:
        _complain(TunesmithError("There is not enough memory for this.", "Close other programs, or take less data."))
        sys.exit(TunesmithError.exit_code)
    except OSError as error:
        _complain(_of_the_system(error))
        sys.exit(UsageError.exit_code)
    except Exception as error:
        if hasattr(error, "format_message"):  # one of the parser's own usage errors
            with suppress(OSError):
                error.show()  # type: ignore[attr-defined]
            _answer({"kind": "UsageError", "message": error.format_message(), "fix": None})
            sys.exit(2)
        import traceback

        with suppress(OSError):
            traceback.print_exc()
            _say("Error: this is a fault of Tunesmith, not of your input. Please report the lines above.")
        _answer({"kind": type(error).__name__, "message": str(error), "fix": None})
        sys.exit(3)
    if code == Stopped.exit_code:  # how typer tells of Ctrl-C
        _complain(Stopped("Stopped.", reason="signal"))
    sys.exit(code if isinstance(code, int) else 0)


_FORMATTED = warnings.formatwarning


def _formatted(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> str:
    """Names of the version before are noted without a place in the code, which the user did not write."""
    if issubclass(category, RenamedWarning):
        return f"note: {message}\n"
    return _FORMATTED(message, category, *where, **more)


def end(main: Callable[[], None]) -> None:
    """`main` as the installed command: out at once after it, as Python takes over a second to take torch and
    transformers apart, piece by piece, before it gives their memory back all the same."""
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except BrokenPipeError:
                _drop_output()
            except (OSError, ValueError):
                code = code or UsageError.exit_code
        os._exit(code)


def _prepare_streams() -> None:
    """Closed ones lead nowhere, and are no number for the next file that is opened; letters that a stream's encoding
    lacks are written as escapes."""
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, nowhere())
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _stop_on_signals() -> None:
    """SIGTERM and SIGHUP end a command in good order: what it wrote meanwhile is deleted. A run has its own way."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:  # `nohup` ignores one
                signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not disturb the tidying up
    raise Stopped(f"Stopped by {signal.Signals(number).name}.", reason="signal")


def _drop_output() -> None:
    """Let what is still to be written go nowhere, so that no complaint about it follows at the end."""
    with suppress(OSError, ValueError), nowhere() as file:
        os.dup2(file.fileno(), sys.stdout.fileno())


def _of_the_system(error: OSError) -> UsageError:
    """What the operating system refused, as a message."""
    reason = error.strerror or str(error) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if isinstance(name, str | os.PathLike)]
    if error.errno in DISK_FULL:
        import tempfile

        place = names[0] if names else f"here, or in {tempfile.gettempdir()} (TMPDIR)"
        return UsageError(f"The disk is full: {place}. No half file was left.", "Free some space, and try again.")
    where = f"{' -> '.join(names)}: " if names else "The system refused: "
    return UsageError(f"{where}{reason}.", "Check the name, the permissions and the disk.")


def _complain(error: TunesmithError) -> None:
    _say(f"Error: {error}")
    found: dict[str, Any] = {"kind": type(error).__name__, "message": error.message, "fix": error.fix}
    if isinstance(error, DataError):
        found["problems"] = [vars(problem) for problem in error.problems]
    _answer(found)


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads it, or the disk that it goes to is full
        start, colon, rest = visible(text).partition(":")
        head = paint(f"{start}{colon}", "red", "bold", stream=sys.stderr) if start == "Error" else f"{start}{colon}"
        print(f"{head}{rest}", file=sys.stderr, flush=True)


def _answer(found: dict[str, object]) -> None:
    """With --json an error is one JSON object on standard output too."""
    if "--json" in sys.argv:
        with suppress(OSError, ValueError):
            print(as_json(found={"error": found}), flush=True)


def as_utf8(argument: str) -> str:
    """A text among the arguments, which Python decodes as the locale says and shells give as UTF-8 all the same."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument  # what can not be read is refused where texts are


def as_json(found: object) -> str:
    """One line of JSON, in letters that standard output can encode."""
    utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    return json.dumps(found, ensure_ascii=not utf8, default=str)
