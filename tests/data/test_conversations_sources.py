"""The same examples come out of every kind of source; text files become pieces; nothing is lost unsaid."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import pandas
import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data.conversations import detect, peek, read_examples, validate
from tunesmith.data.conversations.inputs import PIECE_CHARACTERS

USER = {"role": "user", "content": "What is the weather in Oslo?"}
ASSISTANT = {"role": "assistant", "content": "Cold."}
CHAT = [USER, ASSISTANT]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "default": None}}}


def call(number: str, arguments: str = '{"city": "Oslo"}') -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": "weather", "arguments": arguments}}


CALLED = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [call("call_1")]},
    {"role": "tool", "tool_call_id": "call_1", "content": "-3 C"},
    ASSISTANT,
]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


RAGGED = [
    {"messages": CHAT},
    {"messages": CALLED, "tools": [TOOL]},
    {"messages": [USER, {"role": "assistant", "content": "Warm.", "weight": 1}], "note": {"deep": [1, {"x": []}]}},
]
ALIKE = [{"messages": row["messages"], "tools": row.get("tools")} for row in RAGGED]


def save(kind: str, folder: Path) -> Any:
    path = folder / kind
    match kind:
        case "rows.jsonl":
            return write(path, RAGGED)
        case "rows.jsonl.gz":
            path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in RAGGED).encode()))
        case "utf-16.jsonl":
            path.write_text("\n".join(map(json.dumps, RAGGED)), encoding="utf-16")
        case "bom.jsonl":
            path.write_text("\n".join(map(json.dumps, RAGGED)) + "\n\n", encoding="utf-8-sig")
        case "rows.json":
            path.write_text(json.dumps(RAGGED, indent=1))
        case "data.json":
            path.write_text(json.dumps({"version": 1, "data": RAGGED}))
        case "no-suffix":
            return write(path, RAGGED)
        case "rows.csv" | "rows.parquet":
            cells = [{name: json.dumps(value) for name, value in row.items()} for row in RAGGED]
            frame = pandas.DataFrame(cells)
            frame.to_csv(path, index=False) if kind == "rows.csv" else frame.to_parquet(path)
        case "nested.parquet":
            pandas.DataFrame(ALIKE).to_parquet(path)
        case "folder":
            path.mkdir()
            write(path / "data.jsonl", RAGGED)
        case "arrow-folder":
            datasets.disable_progress_bars()
            datasets.Dataset.from_list(ALIKE).save_to_disk(str(path))
        case "DataFrame":
            return pandas.DataFrame(RAGGED)
        case "Dataset":
            return datasets.Dataset.from_list(ALIKE)
        case "list":
            return RAGGED
    return path


SOURCES = [
    "rows.jsonl", "rows.jsonl.gz", "utf-16.jsonl", "bom.jsonl", "rows.json", "data.json", "no-suffix", "rows.csv",
    "rows.parquet", "nested.parquet", "folder", "arrow-folder", "DataFrame", "Dataset", "list",
]  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
def test_the_same_examples_come_out_of_every_source(kind: str, tmp_path: Path) -> None:
    source = save(kind, tmp_path)
    examples = read_examples(source, emit=ignore)
    assert [example["messages"] for example in examples] == [CHAT, CALLED, RAGGED[2]["messages"]]
    found = examples[1]["tools"]
    if kind in ("arrow-folder", "Dataset", "nested.parquet", "DataFrame"):  # Arrow fills objects up with nulls
        assert found[0]["function"]["parameters"] == {"type": "object"}
    else:
        assert found == [TOOL]
    assert (len(examples), examples.form, examples.format) == (3, "chat", "openai")
    assert examples.ledger.counts()["used"] == 3
    detected = peek(source)
    assert detected is not None
    assert detected.name == "openai"


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    one = read_examples(save("rows.jsonl", tmp_path), emit=ignore)
    assert one.fingerprint == read_examples(RAGGED, emit=ignore).fingerprint
    assert one.fingerprint != read_examples(RAGGED[:2], emit=ignore).fingerprint
    assert len(one.fingerprint) == 64


def test_a_divided_source_keeps_its_parts(tmp_path: Path) -> None:
    for name, count in (("train", 3), ("test", 2)):
        write(tmp_path / f"{name}.jsonl", [{"messages": CHAT}] * count)
    whole = read_examples(tmp_path, emit=ignore)
    assert (len(whole), whole.parts, whole.starts) == (5, ["train", "test"], [0, 3])
    more = read_examples({"train": tmp_path, "dev": [{"messages": CHAT}]}, emit=ignore)
    assert (more.parts, more.starts) == (["train", "validation", "test"], [0, 3, 4])
    assert [example["row"] for example in whole] == [1, 2, 3, 4, 5]
    assert str(whole.problem(4, "x")) == f"{tmp_path / 'test.jsonl'}, line 1, row 1: x"


def test_shards_of_one_part_follow_one_another(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / f"train-0000{number}-of-00002.jsonl", [{"text": f"text {number}"}])
    assert [example["text"] for example in read_examples(tmp_path, emit=ignore)] == ["text 0", "text 1"]
    write(tmp_path / "a.jsonl", [{"text": "x"}])
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "a.jsonl", [{"text": "x"}])
    write(tmp_path / "other" / "b.jsonl", [{"text": "x"}])
    with pytest.raises(DataError, match=r"can not tell which file .* \(data files: a.jsonl, b.jsonl\)"):
        read_examples(tmp_path / "other", emit=ignore)


def test_peek_needs_only_the_beginning(tmp_path: Path) -> None:
    long = "word " * 2_000
    rows = [{"messages": [USER, {"role": "assistant", "content": long}]}] * 300
    path = write(tmp_path / "long.jsonl", rows)
    with open(path, "a", encoding="utf-8") as file:
        file.write("{broken\n")
    found = peek(path)
    assert found is not None
    assert found.name == "openai"
    for name, text in (("list.json", json.dumps(rows, indent=1)), ("data.json", json.dumps({"data": rows}, indent=1))):
        (tmp_path / name).write_text(text)
        assert peek(tmp_path / name) == found
    assert peek(tmp_path / "nothing.jsonl") is None
    (tmp_path / "prose.txt").write_text("Once, upon a time,\nthere was\n")
    assert peek(tmp_path / "prose.txt").form == "text"  # type: ignore[union-attr]
    (tmp_path / "table.txt").write_text("ham\tI am here\nspam\tWin now\n" * 9)
    assert peek(tmp_path / "table.txt") is None


def test_peek_at_a_folder_of_classes_is_none(tmp_path: Path) -> None:
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos" / "1.txt").write_text("good")
    assert peek(tmp_path) is None


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.json", "rows"])
def test_json_that_is_not_utf8_is_refused_row_by_row(name: str, tmp_path: Path) -> None:
    rows = [{"prompt": f"un café {n}" if n in (1, 3) else f"a tea {n}", "completion": f"yes {n}"} for n in range(5)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    text = "\n".join(lines) if "jsonl" in name else "[" + ",\n".join(lines) + "]"
    data = text.encode("latin-1")
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    found = peek(tmp_path / name)
    assert found is not None
    assert found.name == "prompt-completion"
    with pytest.raises(DataError) as refused:
        read_examples(tmp_path / name, emit=ignore)
    message = "this is not UTF-8: it holds the byte 0xe9; save it as UTF-8"
    assert [(one.row, one.line, one.message) for one in refused.value.problems] == [(2, 2, message), (4, 4, message)]


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]}, "sharegpt"),
        ({"instruction": "x", "output": "y"}, "alpaca"),
        ({"prompt": "x", "completion": "y"}, "prompt-completion"),
        ({"prompt": "x", "chosen": "y", "rejected": "z"}, "preference"),
        ({"text": "x"}, "text"),
        ({"source": "x", "target": "y"}, "pair"),
    ],
)
def test_a_row_of_another_format_is_named(row: dict[str, Any], format: str) -> None:
    cases = [([{"messages": CHAT}] * 150 + [row], "openai", format, None)]
    cases.append(([row] * 150 + [{"messages": CHAT}], format, "openai", format))
    for rows, of_file, of_row, form in cases:
        (problem,) = validate(read_examples(rows, emit=ignore, check=False, form=form))
        assert problem.row == len(rows)
        assert problem.message.startswith(f"this row has the format {of_row!r} (")
        assert f"and the file has {of_file!r} (" in problem.message
        assert problem.message.endswith("one file must be of one format")


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]},
        {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]},
        {"instruction": "x", "output": "y"},
    ],
)
@pytest.mark.parametrize("few", [0, 1])
def test_the_format_of_most_rows_is_that_of_the_file(row: dict[str, Any], few: int) -> None:
    kinds = [{"messages": CHAT}, row]
    rows = [kinds[few], *[kinds[1 - few]] * 5, kinds[few]]
    assert peek(rows).name == detect(list(rows[1]), rows[1:2]).name  # type: ignore[union-attr]
    problems = validate(read_examples(rows, emit=ignore, check=False))
    assert [problem.row for problem in problems] == [1, 7]
    assert all(problem.message.endswith("one file must be of one format") for problem in problems)


def test_a_conversation_of_two_formats_is_refused_by_its_message() -> None:
    row = {"messages": [*CHAT, {"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]}
    (problem,) = validate(read_examples([{"messages": CHAT}, row], emit=ignore, check=False))
    assert (problem.row, problem.message) == (
        2,
        'message 3, key "from": the messages before it are of role/content: one conversation must be of one format',
    )


@pytest.mark.story
def test_plain_text_may_be_as_long_as_a_book() -> None:
    assert validate(read_examples([{"text": "word " * 1_000_000}], emit=ignore, form="text")) == []


# --- Text files --------------------------------------------------------------------------------


def test_a_text_file_becomes_pieces_and_nothing_is_lost(tmp_path: Path) -> None:
    paragraphs = [f"{n}. " + "word " * (n * 7 % 300) + "end.\n\n" for n in range(100)]
    text = "\n\n" + "".join(paragraphs) + "x" * 5_000 + "\n" + "one. two " * 1_000
    path = tmp_path / "book.txt"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    examples = read_examples(path, emit=ignore)
    pieces = [example["text"] for example in examples]
    assert "".join(pieces) == text
    assert examples.form == "text"
    assert max(len(piece.rstrip()) for piece in pieces) <= PIECE_CHARACTERS
    assert sum(map(len, pieces)) / len(pieces) > 0.6 * PIECE_CHARACTERS
    whole = [piece for piece in pieces if piece.endswith("end.\n\n")]
    assert len(whole) > 20  # cut between paragraphs where that is possible
    lines = text.split("\n")
    for number in (0, len(pieces) // 3):
        start = pieces[number].lstrip("\n").split("\n")[0]
        assert examples.lines is not None
        assert start in "\n".join(lines[int(examples.lines[number]) - 1 :][:4])


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("First.\n\nSecond.\n")
    (tmp_path / "b.txt").write_text("Third.")
    examples = read_examples(tmp_path, emit=ignore)
    assert [example["text"] for example in examples] == ["First.\n\nSecond.\n", "Third."]
    assert [Path(name).name for name in examples.files] == ["a.txt", "b.txt"]


def test_rows_stay_on_disk_and_are_counted(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "completion": "" if n % 10 == 0 else f"c{n}"} for n in range(1_000)]
    examples = read_examples(write(tmp_path / "rows.jsonl", rows), emit=ignore, cache_dir=tmp_path)
    counts = examples.ledger.counts()
    assert (counts["rows"], counts["used"], counts["dropped"]) == (1_000, 900, 100)
    assert counts["reasons"]["dropped"] == {"no completion": 100}
    assert examples[-1]["row"] == 1_000
    assert examples.rows[1:3] == [examples[1], examples[2]]
    assert examples.ids[0] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl"]
    with pytest.raises(IndexError):
        examples[900]
