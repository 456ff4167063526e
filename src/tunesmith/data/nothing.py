"""Words that people and programs write where there is nothing: one list for texts, labels, numbers, conversations."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_BY_PROGRAMS = (
    "na", "n/a", "n.a.", "n.a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "1.#qnan", "nat",
    "null", "<null>", "(null)", "[null]", "\\n", "nil", "undefined", "#null!", "#value!", "#ref!",
    "#div/0!", "#name?", "#num!", "#nv", "#wert!", "#bezug!", "#valeur!", "#valor!", "#valore!",
    "(blank)", "(empty)", "<empty>", "[blank]", "<none>", "(none)", "[none]", "<missing>", "(missing)",
)  # fmt: skip
_BY_PEOPLE = (
    "not available", "not applicable", "no data", "no value", "no answer", "not specified",
    "not provided", "not given", "k.a.", "k. a.", "k.a", "k/a", "keine angabe", "keine angaben",
    "ohne angabe", "nicht verfügbar", "nicht angegeben", "keine daten", "sin datos", "sin dato", "s/d",
    "n/d", "n.d.", "no disponible", "no aplica", "sin respuesta", "sin especificar", "non disponible",
    "non renseigné", "non renseignée", "non applicable", "non précisé", "pas de donnée",
    "pas de données", "sans objet", "s/o", "n.c.", "n/c", "non disponibile", "nessun dato",
    "dato mancante", "não disponível", "nao disponivel", "sem dados", "não informado", "nao informado",
    "não se aplica", "niet beschikbaar", "n.v.t.", "nvt", "geen gegevens", "brak danych", "nie dotyczy",
    "bd.", "b.d.", "нет данных", "н/д", "не указано", "немає даних", "veri yok", "saknas",
    "ej tillämpligt", "uppgift saknas", "ingen data", "ikke oppgitt", "ikke relevant", "ei tietoa",
    "無し", "該当なし", "データなし", "未入力", "未回答", "無回答",
    "暂无", "无数据", "暫無", "無資料", "해당 없음", "없음", "데이터 없음",
    "لا يوجد", "غير متوفر", "לא זמין", "ไม่มีข้อมูล", "không có dữ liệu", "tidak ada data",
    "उपलब्ध नहीं",
)  # fmt: skip
_PERHAPS = (
    "none", "nothing", "keine", "keiner", "keines", "nichts", "ninguno", "ninguna", "nada", "aucun",
    "aucune", "rien", "nessuno", "nessuna", "nenhum", "nenhuma", "geen", "brak", "нет", "ingen",
    "inget", "なし", "无", "無", "missing", "不明",
)  # fmt: skip
_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY "
    "BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK "
    "FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR "
    "IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK "
    "ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
    "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF "
    "TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XK UK EU "
)
_COUNTRIES = frozenset(_CODES.split())
"""Codes of ISO 3166 (NA is Namibia), and those of Kosovo, the United Kingdom and the European Union."""
_FEWEST = 4
"""Other labels of a kind that show that a word for nothing is one of them."""
_NAME = re.compile(r"[^\W\d_][^\W\d_]+")
_SIGNS = re.compile(r"[-–—−_.?/\\~¿…]{1,5}")
_EXACT = frozenset(_BY_PROGRAMS) | frozenset(_BY_PEOPLE)
_CLASSES = frozenset(_PERHAPS)


def says_nothing(cell: str) -> bool:
    """Whether the whole cell is a word or sign for "there is nothing here": 'N/A', 'null', 'NaN', '-', '?', 'k.A.'.

    An empty cell says so too. Words that may be a class or an answer of their own ('none', 'keine') are
    `may_be_nothing`.
    """
    word = _plain(cell)
    return not word or word in _EXACT or bool(_SIGNS.fullmatch(word))


def may_be_nothing(cell: str) -> bool:
    """Whether the cell is a word for nothing that can as well be a class: 'None' of a stance, 'keine' of complaints."""
    return _plain(cell) in _CLASSES


def nothing_in_text(cell: str) -> bool:
    """The same for a cell that should hold a text: 'None' is what Python writes, 'nothing' may be an answer, and '?'
    or '...' a message."""
    word = _plain(cell)
    if word == "none" or cell.strip() in ("[]", "{}", "()"):
        return True
    return says_nothing(cell) and (not word or word in _EXACT or word in ("-", "--", "---", "–", "—"))


def labels_of_nothing(rows: Mapping[str, int]) -> set[str]:
    """Of labels and their rows those that mean that there is none.

    A word such as 'none' is a class of its own where it is at least half as frequent as the other labels are on
    average, or where fewer than two others would be left.
    """
    sure = {label for label in rows if says_nothing(label)}
    sure -= _of_a_kind(rows, sure)
    others = {label: number for label, number in rows.items() if label not in sure and not may_be_nothing(label)}
    if len(others) < 2:
        return sure if len(rows) - len(sure) >= 2 else set()
    average = sum(others.values()) / len(others)
    return sure | {label for label in rows if may_be_nothing(label) and rows[label] < 0.5 * average}


def _of_a_kind(rows: Mapping[str, int], sure: set[str]) -> set[str]:
    """Of the words for nothing those that the other labels show to be one of them: 'NA' among codes of countries, and
    'Null', as no program writes it, among names, if it is at least half as frequent as they are on average."""
    others = [label for label in rows if label not in sure]
    if len(others) < _FEWEST:
        return set()
    if all(label in _COUNTRIES for label in others):
        return {"NA"} & sure
    named = all(_NAME.fullmatch(label) and label.istitle() for label in others)
    often = 0.5 * sum(rows[label] for label in others) / len(others)
    return {label for label in sure if label == "Null" and named and rows[label] >= often}


def _plain(cell: str) -> str:
    if not cell.isascii():
        cell = unicodedata.normalize("NFKC", cell)
        cell = "".join(sign for sign in cell if unicodedata.category(sign) != "Cf")
    return " ".join(cell.split()).casefold().strip("\"'")
