"""events.jsonl is read as it was written, whatever the texts in it and wherever a crash cut it."""

from __future__ import annotations

from pathlib import Path

from tunesmith.core.events import EventLog, Warned, read


def test_line_separators_inside_a_text_end_no_record(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    text = "a\u2028b\u2029c\x85d"
    log(Warned("odd", text))
    log.close()
    assert [record["message"] for record in read(tmp_path / "events.jsonl")] == [text]


def test_a_line_cut_inside_a_letter_is_left_out_and_the_next_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log(Warned("first", "ü"))
    log(Warned("second", "ü"))
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex("ü".encode()) + 1])
    assert [record["what"] for record in read(path)] == ["first"]
    log = EventLog(path)
    log(Warned("third", "ü"))
    log.close()
    assert [record["what"] for record in read(path)] == ["first", "third"]
