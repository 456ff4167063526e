"""The tutorial pages work: their files are written and their commands executed, in order, in a fresh folder.

One process runs all of a page, so that the heavy libraries are imported once.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import language_models
from tunesmith.models import tiny_convnet

DOCS = Path(__file__).resolve().parent.parent / "docs"
TUTORIAL, CHAT, REFINE, PYTHON, QUESTIONS, COLUMNS, SEGMENTATION, DETECTION, SEARCH, PICTURES, ENTITIES = PAGES = (
    DOCS / "tutorial.md", DOCS / "tutorial-chat.md", DOCS / "tutorial-refine.md", DOCS / "python.md",
    DOCS / "tutorial-questions.md", DOCS / "tutorial-columns.md", DOCS / "tutorial-segmentation.md",
    DOCS / "tutorial-detection.md", DOCS / "tutorial-search.md", DOCS / "tutorial-pictures.md",
    DOCS / "tutorial-entities.md",
)  # fmt: skip
NOTEBOOK = DOCS.parent / "examples" / "support_tickets.ipynb"
TOOLS = (
    "{% if tools %}<|im_start|>system\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = "# only shown\n"
EXECUTED = ("console", "python")

DRIVER = '''\
import sys
from tunesmith.cli import main as program


def command(line, *arguments):
    """One command line, as the installed program would run it."""
    print("$", line, flush=True)
    sys.argv = ["tunesmith", *arguments]
    try:
        program.main()
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"{line} ended with exit code {stop.code}")


'''


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Language, name of a file (or ""), and content of each fenced block that counts."""
    for found in FENCE.finditer(text):
        if not found[3].startswith(SHOWN):
            yield found[1], found[2] or "", found[3]


def program_of(text: str, folder: Path) -> tuple[str, list[str]]:
    """The page as one Python program, and its commands; the page's files are written to `folder`."""
    program, commands = [DRIVER], []
    for language, name, content in blocks(text):
        if name:
            (folder / name).write_text(content, encoding="utf-8")
        elif language == "python":
            program.append(content)
        elif language == "console":
            for line in content.splitlines():
                assert line.startswith("$ tunesmith "), f"only our own commands, without output: {line}"
                commands.append(line.removeprefix("$ "))
                program.append(f"command({line[2:]!r}, *{shlex.split(line)[2:]!r})\n")
    return "".join(program), commands


SHOW = '''\


def show(value):
    """What a notebook shows of the last value of a cell."""
    page = value._repr_html_() if hasattr(value, "_repr_html_") else None
    print(len(page) if page else repr(value))


'''


def program_of_cells(notebook: Path) -> str:
    """A notebook as one Python program, in which the last value of each cell is shown."""
    program = [SHOW]
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            if isinstance(tree.body[-1], ast.Expr):
                called = ast.Call(ast.Name("show", ast.Load()), [tree.body[-1].value], [])
                tree.body[-1] = ast.Expr(called)
            program.append(ast.unparse(ast.fix_missing_locations(tree)) + "\n")
    return "".join(program)


def execute(page: Path, folder: Path) -> list[str]:
    """Run a page or notebook in `folder`; returns its commands."""
    if page.suffix == ".ipynb":
        program, commands = program_of_cells(page), []
    else:
        program, commands = program_of(page.read_text(encoding="utf-8"), folder)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return commands


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_the_chat_tutorial_works(in_tmp: Path, examples: Path) -> None:
    shutil.copytree(examples, in_tmp / "examples")
    network = language_models.network("llama", max_position_embeddings=1024)
    tokenizer = language_models.tokenizer("llama")
    tokenizer.chat_template = TOOLS
    network.save_pretrained(in_tmp / "base")
    tokenizer.save_pretrained(in_tmp / "base")
    assert len(execute(CHAT, in_tmp)) >= 10
    assert (in_tmp / "runs" / "mira-dpo" / "report.html").exists()
    assert (in_tmp / "mira-merged" / "model.safetensors").exists()
    assert (in_tmp / "pairs.jsonl").exists()


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_the_pictures_tutorial_works(in_tmp: Path) -> None:
    tiny_convnet.write(in_tmp / "base")
    assert len(execute(PICTURES, in_tmp)) == 3
    assert (in_tmp / "runs" / "parts" / "report.html").exists()
    assert (in_tmp / "runs" / "dark" / "report.html").exists()


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_the_segmentation_tutorial_works(in_tmp: Path) -> None:
    tiny_convnet.write(in_tmp / "base")
    assert len(execute(SEGMENTATION, in_tmp)) == 5
    assert (in_tmp / "runs" / "parts" / "report.html").exists()
    assert len(list((in_tmp / "answers_masks").iterdir())) == 24


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_tutorial_works(in_tmp: Path, examples: Path, minilm: Path) -> None:
    shutil.copytree(examples, in_tmp / "examples")
    assert len(execute(TUTORIAL, in_tmp)) >= 10
    for name in ("tickets", "no-smoothing", "from-python"):
        assert (in_tmp / "runs" / name / "report.html").exists()
    header = (in_tmp / "answers.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("text,intent,predicted,probability,probability_account_access,")


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_the_refine_tutorial_works(in_tmp: Path, examples: Path, minilm: Path) -> None:
    shutil.copytree(examples, in_tmp / "examples")
    assert len(execute(REFINE, in_tmp)) == 2
    assert (in_tmp / "runs" / "comparison" / "report.html").exists()
    assert (in_tmp / "runs" / "search" / "run" / "result.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_questions_tutorial_works(in_tmp: Path, minilm: Path) -> None:
    assert len(execute(QUESTIONS, in_tmp)) == 4
    document = json.loads((in_tmp / "runs" / "receipts" / "metrics.json").read_text(encoding="utf-8"))
    assert document["test"]["f1"]["value"] > 0.8
    assert (in_tmp / "answers.csv").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_search_tutorial_works(in_tmp: Path, minilm: Path) -> None:
    assert len(execute(SEARCH, in_tmp)) == 4
    document = json.loads((in_tmp / "runs" / "search" / "metrics.json").read_text(encoding="utf-8"))
    ours = document["test"]["ndcg@10"]["value"]
    assert ours > max(one["ndcg@10"]["value"] for one in document["baselines"].values())
    assert (in_tmp / "documents.npy").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_columns_tutorial_works(in_tmp: Path, minilm: Path) -> None:
    assert len(execute(COLUMNS, in_tmp)) == 2
    document = json.loads((in_tmp / "runs" / "urgent" / "metrics.json").read_text(encoding="utf-8"))
    ours = document["test"]["accuracy"]["value"]
    others = {name: one["accuracy"]["value"] for name, one in document["baselines"].items()}
    assert ours > max(others["linear_probe_text"], others["table_logistic_regression"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_detection_tutorial_works(in_tmp: Path) -> None:
    assert len(execute(DETECTION, in_tmp)) == 4
    document = json.loads((in_tmp / "runs" / "plates" / "metrics.json").read_text(encoding="utf-8"))
    assert document["test"]["map50"]["value"] > 0.5
    assert document["verdict"]["outcome"] == "better"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_entities_tutorial_works(in_tmp: Path, minilm: Path) -> None:
    assert len(execute(ENTITIES, in_tmp)) == 4
    document = json.loads((in_tmp / "runs" / "receipts" / "metrics.json").read_text(encoding="utf-8"))
    assert document["test"]["f1"]["value"] > 0.9
    assert "unseen_f1" in document["test"]
    spans = json.loads((in_tmp / "found.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert spans


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_python_page_works(in_tmp: Path, examples: Path, minilm: Path) -> None:
    shutil.copytree(examples, in_tmp / "examples")
    assert execute(PYTHON, in_tmp) == []
    assert (in_tmp / "runs" / "in-python" / "report.html").exists()
    assert len((in_tmp / "answers.csv").read_text(encoding="utf-8").splitlines()) > 100


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_the_notebook_works(in_tmp: Path, examples: Path, minilm: Path) -> None:
    shutil.copy(examples / "support_tickets.csv", in_tmp)
    execute(NOTEBOOK, in_tmp)
    assert (in_tmp / "runs" / "notebook" / "report.html").exists()


def test_the_notebook_is_stored_without_what_it_printed() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 8
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_every_block_is_executed_written_or_marked_as_shown() -> None:
    """What is neither run nor marked is a promise that nobody checks."""
    unclear = [
        content.splitlines()[0]
        for page in PAGES
        for language, name, content in blocks(page.read_text(encoding="utf-8"))
        if not name and language not in EXECUTED
    ]
    assert unclear == []


def test_every_command_is_used_in_the_tutorial() -> None:
    from tunesmith.cli.main import app

    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    groups = [app, *(group.typer_instance for group in app.registered_groups if group.typer_instance)]
    names = [
        command.name or command.callback.__name__
        for group in groups for command in group.registered_commands if command.callback
    ]  # fmt: skip
    assert [name for name in names if f"tunesmith {name}" not in text] == []
