"""How well a plain run answers questions: about clauses of real contracts, and about generated notes on people.

    python bench/questions.py contracts --data ../shared/data/cuad_clauses
    python bench/questions.py notes

Prints the metrics of the model and of the baselines, and the seconds of the run. The context of a contract are its
clauses in any order, longer than a window; a question is about one kind of clause, which some contracts do not have. In
notes several people have a home, a profession and a thing, so that the words of a question stand in several sentences.
"""

from __future__ import annotations

import argparse
import ast
import csv
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tunesmith


def _words(text: str) -> list[str]:
    return text.split()


CLAUSES = {
    "Governing Law": "Which law governs the agreement?", "Expiration Date": "When does the agreement expire?",
    "Agreement Date": "What is the date of the agreement?", "Parties": "Who are the parties?",
    "Anti-Assignment": "Can the agreement be assigned to others?", "Cap on Liability": "Is liability limited?",
    "Termination for Convenience": "Can a party end the agreement without cause?",
    "Audit Rights": "May the books be audited?", "Insurance": "Must a party have insurance?",
    "Non-Compete": "Is a party kept from competing?", "Exclusivity": "Is the deal exclusive?",
    "Renewal Term": "How is the agreement renewed?",
}  # fmt: skip
NAMES = _words("Anna Boris Clara Diego Elena Farid Greta Hugo Irina Kaito Leila Marco Nadia Oskar Petra Rosa Samir")
FACTS = {
    "home": (
        ("{name} has lived in {what} for years.", "The home of {name} is in {what}, near the river."),
        ("Where does {name} live?", "In which town is {name} at home?"),
        _words("Lisbon Oslo Cairo Lima Quito Turin Ghent Perth Kyoto Hanoi Porto Dakar Sofia Leeds Basel Tunis Delft"),
    ),
    "work": (
        ("{name} works as a {what} and likes it.", "For a living, {name} is a {what}."),
        ("What is the profession of {name}?", "What does {name} do for a living?"),
        _words("baker nurse pilot tailor painter plumber teacher lawyer dentist gardener carpenter librarian"),
    ),
    "thing": (
        ("At the market {name} bought {what}.", "Last week {what} was given to {name}."),
        ("What does {name} have?", "Which thing belongs to {name}?"),
        ["a red bicycle", "two old clocks", "a grey parrot", "an oak table", "seven stamps", "a steel kettle"],
    ),
}


def contracts(file: Path, count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Up to five questions about each of so many contracts, one of them without an answer."""
    csv.field_size_limit(10**9)
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    chance.shuffle(rows)
    for row in rows:
        clauses = {name: [str(text).strip() for text in ast.literal_eval(row[name] or "[]")] for name in CLAUSES}
        every = list(dict.fromkeys(text for texts in clauses.values() for text in texts if text))
        if len(every) < 6 or sum(map(len, every)) > 6_000:
            continue
        chance.shuffle(every)
        context = "\n".join(every)
        have, lack = ([name for name in CLAUSES if bool(clauses[name]) == has] for has in (True, False))
        for name in [*chance.sample(have, min(4, len(have))), *chance.sample(lack, min(1, len(lack)))]:
            texts = [text for text in clauses[name] if text]
            answers = {"text": texts, "answer_start": [context.index(text) for text in texts]}
            yield {"title": row["Filename"], "question": CLAUSES[name], "context": context, "answers": answers}
        count -= 1
        if not count:
            return


def notes(count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Four questions about each of so many notes; a quarter of what could be asked is not said."""
    for number in range(count):
        said: dict[tuple[str, str], tuple[str, str]] = {}
        people = chance.sample(NAMES, 4)
        for name in people:
            for fact, (sentences, _, values) in FACTS.items():
                if chance.random() < 0.75:
                    what = chance.choice(values)
                    said[name, fact] = chance.choice(sentences).format(name=name, what=what), what
        lines = [sentence for sentence, _ in said.values()]
        chance.shuffle(lines)
        context = f"Note {number}. " + " ".join(lines)
        for name, fact in chance.sample([(name, fact) for name in people for fact in FACTS], 4):
            answers: dict[str, list[Any]] = {"text": [], "answer_start": []}
            if (name, fact) in said:
                sentence, what = said[name, fact]
                answers = {"text": [what], "answer_start": [context.index(sentence) + sentence.index(what)]}
            question = chance.choice(FACTS[fact][1]).format(name=name)
            yield {"question": question, "context": context, "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["contracts", "notes"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cuad_clauses"))
    parser.add_argument("--contexts", type=int, default=130)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="options of the run")
    asked = parser.parse_args()
    words: dict[str, Any] = dict(one.split("=", 1) for one in asked.set)
    chance = random.Random(0)
    if asked.what == "contracts":
        rows = list(contracts(asked.data / "master_clauses.csv", asked.contexts, chance))
    else:
        rows = list(notes(asked.contexts, chance))
        words.setdefault("near_duplicates", 0)  # notes are much alike
    with tempfile.TemporaryDirectory() as place:
        begun = time.perf_counter()
        run = tunesmith.train(rows, task="question-answering", out=Path(place, "run"), **words)
        print(f"{len(rows)} questions, {time.perf_counter() - begun:.0f} s in all")
        for name, found in {"model": run.document["test"], **run.document["baselines"]}.items():
            print(name, {metric: round(one["value"], 4) for metric, one in found.items()})
        print(run.document["verdict"]["sentence"])


if __name__ == "__main__":
    main()
