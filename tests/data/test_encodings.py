"""One byte that is not UTF-8 names its line; two encodings in one file are told; whole files of others are read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toys import sentence
from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data.conversations import read_examples
from tunesmith.data.mojibake import describe, mojibake_rows
from tunesmith.data.prepare import read_rows
from tunesmith.data.types import Columns, ReadOptions

LABEL = Columns(("text",), ("label",), "label")
WESTERN, POLISH, RUSSIAN, JAPANESE = "Schöne Grüße – ça va", "Zażółć gęślą jaźń", "Где мой заказ", "チェーンが緩い"


def rows(words: str, count: int = 40) -> list[bytes]:
    return [f"{words} {sentence(n)},{'ab'[n % 2]}".encode() for n in range(count)]


def joined(lines: list[bytes]) -> bytes:
    return b"\n".join([b"text,label", *lines]) + b"\n"


def refused(bench: Any, source: Any, **given: Any) -> str:
    with pytest.raises(DataError) as caught:
        bench(source, **given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "bad"),
    [
        (WESTERN, b"caf\xe9"), (WESTERN, b"\x93so\x94"), (RUSSIAN, "Хлеб".encode("cp1251")), (POLISH, b"\xb3"),
        (JAPANESE, JAPANESE.encode()[:-1]), (JAPANESE, JAPANESE.encode("shift_jis")), (WESTERN, b"\xed\xa0\xbd"),
    ],
)  # fmt: skip
def test_one_line_that_is_not_utf8_is_named(bench: Any, words: str, bad: bytes) -> None:
    lines = rows(words)
    lines[24] = bad + lines[24]
    for name, content in (("d.csv", joined(lines)), ("d.tsv", joined(lines).replace(b",", b"\t"))):
        message = refused(bench, bench.write(name, content))
        assert f"{name}, line 26: the byte 0x" in message
        assert "--encoding-errors" in message
    assert "d.csv.gz, line 26" in refused(bench, bench.write("d.csv.gz", gzip.compress(joined(lines))))


@pytest.mark.parametrize("place", ["line", "label", "jsonl", "far", "end"])
def test_wherever_the_byte_stands(bench: Any, place: str) -> None:
    lines, name, number = rows(WESTERN, 20_000 if place == "far" else 40), "d.csv", 26
    if place == "label":
        lines[24] += b"\xe9"
    elif place == "jsonl":
        lines = [json.dumps({"text": line.decode(), "label": "ab"[n % 2]}, ensure_ascii=False).encode()
                 for n, line in enumerate(lines)]  # fmt: skip
        lines[24], name, number = lines[24].replace("ö".encode(), b"\xf6"), "d.jsonl", 25
    elif place == "far":
        lines[-1], number = lines[-1].replace("ö".encode(), b"\xf6"), 20_001
    elif place == "end":
        content = joined(lines)[: -len(sentence(39)) - 2] + "à".encode()[:1]
        assert "line 41: the file ends in the middle of a character" in refused(bench, bench.write(name, content))
        return
    else:
        lines[24] = lines[24].replace("ö".encode(), b"\xf6")
    content = joined(lines) if name == "d.csv" else b"\n".join(lines)
    assert f"{name}, line {number}: the byte 0x" in refused(bench, bench.write(name, content))


def test_other_files_of_a_run_are_held_to_it_too(bench: Any) -> None:
    good, lines = bench.write("good.csv", joined(rows(WESTERN))), rows(WESTERN)
    lines[3] += b"\xe9"
    bad = bench.write("bad.csv", joined(lines))
    assert "bad.csv, line 5" in refused(bench, good, test=bad)
    with pytest.raises(DataError, match=r"bad.csv, line 5"):
        read_rows(bad, emit=ignore, cache_dir=bench.folder / "cache", columns=LABEL)
    text = bench.write("bad.txt", b"\n\n".join(lines))
    with pytest.raises(DataError, match=r"bad.txt, line 7"):
        read_examples(str(text), emit=ignore)


def test_a_row_is_repaired_on_request_and_counted(bench: Any) -> None:
    lines = rows(RUSSIAN)
    lines[24] = "Хлеб вкусный,b".encode("cp1251")
    path = bench.write("d.csv", joined(lines))
    data = bench(path, reading=ReadOptions(encoding_errors="repair"))
    assert data.rows[24]["text"] == "Хлеб вкусный"
    assert data.ledger.counts()["reasons"]["used"] == {"repaired: bytes that were not of the encoding": 1}
    assert "line 26" in bench.said("repaired rows")
    data.save(bench.folder)
    ledger = pq.read_table(bench.folder / "ledger.parquet").to_pylist()
    assert [row["line"] for row in ledger if row["reason"]] == [26]
    replaced = bench(path, reading=ReadOptions(encoding_errors="replace"))
    assert "\ufffd" in replaced.rows[24]["text"]


def test_only_what_is_not_utf8_is_repaired_in_a_line(bench: Any) -> None:
    lines = rows(WESTERN)
    lines[24] = "naïve – ".encode() + b"caf\xe9,a"
    data = bench(bench.write("d.csv", joined(lines)), reading=ReadOptions(encoding_errors="repair"))
    assert data.rows[24]["text"] == "naïve – café"


@pytest.mark.parametrize(("words", "other"), [(WESTERN, "cp1252"), (RUSSIAN, "cp1251"), (JAPANESE, "shift_jis")])
def test_two_encodings_in_one_file_are_told(bench: Any, words: str, other: str) -> None:
    lines = rows(words, 60)
    half = [line.decode().encode(other) for line in lines[30:]]
    message = refused(bench, bench.write("d.csv", joined([*lines[:30], *half])))
    assert "two encodings in one file: 30 lines hold UTF-8, and lines 32-61 do not" in message
    assert other in message
    few = refused(bench, bench.write("e.csv", joined([*half, *lines[:2]])))
    assert "two encodings in one file: UTF-8 in lines 32-33" in few
    data = bench(bench.write("d.csv", joined([*lines[:30], *half])), reading=ReadOptions(encoding_errors="repair"))
    assert data.rows[59]["text"].startswith(words)


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        (WESTERN, "cp1252"), ("SÃO PAULO’S CAFÉ’S", "cp1252"), ("Menü »GRÜß« ÉCOLE…", "cp1252"),
        ("Здравствуйте где мой заказ? Жду уже две недели «Почта» молчит", "cp1251"),
        ("ご注文の商品はまだ届いていません。自転車のチェーンが緩んでいます", "shift_jis"),
        ("我的订单还没有到。面包烤焦了，请问什么时候可以退款？图书馆几点开门", "gb18030"),
        ("איפה ההזמנה שלי השרשרת של האופניים רופפת", "cp1255"), ("Где мой заказ", "cp1251"),
        ("Где мой заказ Цепь велосипеда ослабла", "iso8859_5"), ("Где мой заказ Цепь велосипеда ослабла", "cp866"),
        ("Πού είναι η παραγγελία μου", "cp1253"), ("คำสั่งซื้อของฉันอยู่ที่ไหน โซ่จักรยานหลวม", "cp874"),
        ("أين طلبي سلسلة الدراجة مرتخية", "cp1256"),
        ("Zamówienie jeszcze nie dotarło proszę o źródło i żółtą część", "cp1250"),
        ("Zamówienie jeszcze nie dotarło proszę o źródło i żółtą część", "iso8859_2"),
        ("Objednávka ještě nedorazila řetěz je příliš volný", "cp1250"),
        ("A rendelésem még nem érkezett meg a főzőedény törött szűrő nélkül", "cp1250"),
        ("Siparişim henüz gelmedi İyi günler zincir gevşek ve ağır", "cp1254"),
        ("Užsakymas dar neatvyko grandinė įtempta ąžuolas", "cp1257"),
        ("Schöne Grüße aus der Straße für später", "mac_roman"), ("Schöne Grüße für die Straße", "cp850"),
        ("Þetta er að verða löng bið ég á brauð", "cp1252"), ("Hvor er kæden? Løst på cyklen", "cp1252"),
        ("It’s “fine” – 20 °C… § 7", "cp1252"), ("Perché non è arrivato? Più tardi però no né sì", "cp1252"),
        ("주문한 상품이 아직 도착하지 않았습니다. 자전거 체인이 느슨해요", "euc_kr"), (RUSSIAN, "utf-16"),
    ],
)  # fmt: skip
def test_files_in_one_other_encoding_are_read(bench: Any, words: str, encoding: str) -> None:
    content = "\n".join(["text,label", *(line.decode() for line in rows(words, 60))]).encode(encoding)
    data = bench(bench.write("d.csv", content), near_duplicates=0)
    assert data.rows[0]["text"].startswith(words)
    assert bench.said("encoding")


def test_the_encoding_can_be_named(bench: Any) -> None:
    path = bench.write("d.csv", joined([line.decode().encode("cp1250") for line in rows(POLISH)]))
    assert bench(path).rows[0]["text"].startswith(POLISH)
    assert "letters are those of Polish; --encoding cp1252 reads it as Western European" in bench.said("encoding")
    assert bench(path, reading=ReadOptions(encoding="cp1250")).rows[0]["text"].startswith(POLISH)
    assert "line 2: the byte 0x" in refused(bench, path, reading=ReadOptions(encoding="utf-8"))
    assert "d.csv, line 2: this line is not" in refused(bench, path, reading=ReadOptions(encoding="shift_jis"))
    with pytest.raises(ValueError, match="knows no encoding"):
        ReadOptions(encoding="utf-9")


def test_text_that_was_read_wrongly_before_is_told(bench: Any) -> None:
    lines = [
        line.decode().encode().decode("cp1252").encode() for line in rows("Schöne Grüße – déjà vu".replace("à", "a"))
    ]
    bench(bench.write("d.csv", joined(lines)))
    assert "40 rows of column 'text'" in bench.said("wrong encoding")
    assert "'hÃ¶' (perhaps 'hö')" in bench.said("wrong encoding")


def test_which_text_was_read_wrongly() -> None:
    fine = ["São Paulo", "SÃO PAULO…", "É”", WESTERN, RUSSIAN, "«Я» СССР №5", JAPANESE, "CAFÉ’S", "20°C – 5µm", "√2",
            POLISH, "Ελληνικά", "Ñandú", "à la carte…", "× ° ×"]  # fmt: skip
    assert mojibake_rows(pa.array(fine)).tolist() == []
    for words, encoding in (("thé", "cp1252"), (RUSSIAN, "cp1251"), (JAPANESE, "latin-1"), ("déjà", "mac_roman")):
        wrong = words.encode().decode(encoding)
        assert mojibake_rows(pa.array(["fine", wrong])).tolist() == [1]
        assert "perhaps" in describe(wrong)


def test_a_marked_file_with_a_bad_byte(bench: Any, tmp_path: Path) -> None:
    lines = rows(WESTERN)
    lines[4] += b"\xff"
    assert "line 6: the byte 0xff" in refused(bench, bench.write("d.csv", b"\xef\xbb\xbf" + joined(lines)))


@pytest.mark.parametrize("words", [WESTERN, JAPANESE])
def test_a_document_in_one_line_is_utf8_but_for_a_byte(bench: Any, tmp_path: Path, words: str) -> None:
    items = [{"text": f"{words} {sentence(n)}", "label": "ab"[n % 2]} for n in range(30)]
    line = json.dumps(items, ensure_ascii=False)
    (tmp_path / "d.json").write_bytes(line.encode().replace(b'"b"', b'"b\xe9"', 1))
    assert "the rest of the line is UTF-8" in refused(bench, tmp_path / "d.json")


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("utf-8", "utf-16-le", "line 42: two encodings"), ("utf-8", "utf-16", "line 42: two encodings"),
        ("utf-16", "utf-8", "two encodings in one file: UTF-16, and from byte"),
    ],
)  # fmt: skip
def test_files_of_wide_and_narrow_letters_joined(
    bench: Any, tmp_path: Path, first: str, second: str, words: str
) -> None:
    text = joined(rows("plain")).decode()
    (tmp_path / "d.csv").write_bytes(text.encode(first) + text.encode(second))
    assert words in refused(bench, tmp_path / "d.csv")


def test_halves_of_a_sign_that_are_utf8_each(bench: Any, tmp_path: Path) -> None:
    text = joined(rows("plain")).replace(b"plain", b"plain \xed\xa0\xbd\xed\xb8\x80", 1)
    (tmp_path / "d.csv").write_bytes(text)
    assert "line 2: the byte 0xed is not UTF-8" in refused(bench, tmp_path / "d.csv")
