"""What the functions of the package give back: dicts and lists as before, which show themselves as cards."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.display.cards import Card, Document, Shown, Table, interval
from tunesmith.evaluate import words
from tunesmith.evaluate.metrics import TABLE

if TYPE_CHECKING:
    import pandas

    from tunesmith.core.run import RunFolder

_LEVELS = {"better": "good", "not proven": "fair", "worse": "poor"}


class Verdict(Document):
    """The part `verdict` of metrics.json, with its keys as attributes; `str()` is what it says in words."""

    @property
    def sentences(self) -> list[str]:
        """What it says, the most important first."""
        found = [self.get("title") or self.get("sentence")]
        found += [part.get("words") for part in self.values() if isinstance(part, Mapping)]
        return list(dict.fromkeys(sentence for sentence in found if sentence)) or [str(self.get("outcome", "none"))]

    def __str__(self) -> str:
        return " ".join(self.sentences)

    def _card(self) -> Card:
        commands = [part.get("command") for part in self.values() if isinstance(part, Mapping)]
        facts = [("next", command) for command in commands if command]
        return Card(
            "Verdict", (self.get("level") or _LEVELS.get(self.get("outcome", ""), "fair"), self.sentences), facts
        )


class Check(Document):
    """What `check` found; "problems" has what would be refused."""

    def _card(self) -> Card:
        facts: list[tuple[str, Any]] = [("task", self["task"])]
        if "columns" in self:
            columns, ledger = self["columns"], self["audit"]["ledger"]
            facts += [("reads", columns["inputs"]), ("target", columns["target"]),
                      ("rows", f"{ledger['rows']:,} read, {ledger['dropped']:,} dropped"),
                      ("would", f"fine-tune {self['model']} with {self['method']}")]  # fmt: skip
        else:
            facts += [("format", f"{self['format']} ({self['form']})"), ("rows", f"{self['rows']:,} read")]
        facts.append(("split", ", ".join(f"{name} {count:,}" for name, count in self["splits"].items())))
        if cost := self.get("estimate"):
            facts.append(("cost", f"about {words.seconds(cost['seconds'])}, {words.bytes_(cost['memory_bytes'])}"))
        facts += [("warning", f"{one['what']}: {one['message']}") for one in self["warnings"]]
        facts += [("advice", advice) for advice in self.get("advice", [])]
        problems = [[one[key] for key in ("file", "line", "row", "message")] for one in self.get("problems", [])]
        decided = [[one["what"], one["value"], one["why"]] for one in self["decisions"]]
        tables = [Table(("file", "line", "row", "problem"), problems)] if problems else []
        more = [Table(("decided", "value", "why"), decided)] if decided else []
        return Card("Check: nothing was trained", None, facts, tables, more)


class Comparison(Document):
    """What `compare` found: ladder.json as a dict."""

    def to_frame(self) -> pandas.DataFrame:
        """A pandas DataFrame with a row for each contender."""
        import pandas

        return pandas.DataFrame(
            [{k: v for k, v in row.items() if not isinstance(v, dict | list)} for row in self["rungs"]]
        )

    def _card(self) -> Card:
        rows = [(row["title"], interval(row), words.seconds(row["seconds"]), words.bytes_(row["size_bytes"]))
                for row in self["rungs"]]  # fmt: skip
        head = (f"{words.metric(self['metric'])} on test rows", "value (95 % interval)", "time", "size")
        sentences = [sentence for sentence in self["words"] if sentence] or [self["recommendation"]]
        return Card("Comparison", ("fair", sentences), [], [Table(head, rows)])


class Evaluation(Document):
    """What `evaluate` found."""

    def _card(self) -> Card:
        more = [(name, value) for name, value in self.items() if isinstance(value, str | int | float)]
        parts = [("all rows" if "new" in self else "metric", self["metrics"])]
        if new := self.get("new"):
            parts.insert(0, (f"the {new['rows']:,} rows that are new to the model", new["metrics"]))
        tables = [
            Table(
                (title, "value (95 % interval)"), [(words.metric(name), interval(one)) for name, one in found.items()]
            )
            for title, found in parts
        ]
        return Card("Evaluation", None, more, tables)


class RunResults(Shown):
    """What a finished run found, read from its folder."""

    folder: RunFolder
    path: Path

    @property
    def document(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return self.folder.load_metrics()

    @property
    def metrics(self) -> dict[str, float]:
        """Every metric on the test rows, by name."""
        return {name: found["value"] for name, found in self.document["test"].items()}

    @property
    def verdict(self) -> Verdict:
        """Whether it is good and worth it; `print(run.verdict)` says so in words."""
        return Verdict(self.document["verdict"])

    @property
    def predictions(self) -> pandas.DataFrame:
        """Truth and scores of every test row: predictions.parquet as a pandas DataFrame."""
        import pandas

        self.folder.load_metrics()  # raises where there is none yet
        return pandas.read_parquet(self.folder.predictions)

    def leaderboard(self) -> pandas.DataFrame:
        """The model and its baselines on the test rows, the best first: a pandas DataFrame with a column a metric,
        and `low` and `high`, the 95 % interval of the first one."""
        import pandas

        document = self.document
        first = document["first_metric"]
        rows = []
        for name, measured in _contenders(document).items():
            values = {metric: one["value"] for metric, one in measured.items()}
            bounds = {"low": measured[first]["low"], "high": measured[first]["high"]} if first in measured else {}
            rows.append({"name": name, first: values.pop(first, None), **bounds, **values})
        frame = pandas.DataFrame(rows)
        return frame.sort_values(
            first, ascending=first in TABLE and not TABLE[first].higher_is_better, ignore_index=True
        )

    def show(self) -> Path:
        """Open the report in a browser where there is a screen, and say where it is. Returns its path."""
        path = Path(self.folder.report).resolve()
        self.folder.load_metrics()
        print(path)
        if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            with suppress(webbrowser.Error):
                webbrowser.open(path.as_uri())
        return path

    def _card(self) -> Card:
        status = self.folder.status()
        title = f"Run {self.path} ({status})"
        if not self.folder.metrics.exists():
            return Card(title, None, [("continue", f"tunesmith.resume({str(self.path)!r})")])
        document = self.document
        first = document["first_metric"]
        facts = [("task", f"{document['task']}, model {document['model']}, method {document['method']}")]
        rows = [
            (words.baseline(name), interval(found[first]))
            for name, found in _contenders(document).items()
            if first in found
        ]
        others = [(words.metric(name), interval(found)) for name, found in document["test"].items() if name != first]
        head = (f"{words.metric(first)} on test rows", "value (95 % interval)")
        tables = [Table(head, rows)]
        more = [Table(("other metrics", "value (95 % interval)"), others)] if others else []
        findings = [(words.finding(one["name"]), one["evidence"], one["action"]) for one in document["findings"]]
        tables += [Table(("found", "evidence", "what to do"), findings)] if findings else []
        level = self.verdict._card().verdict
        return Card(title, level, facts, tables, more, ("report", str(self.folder.report)))


def _contenders(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"this model": document["test"], **document["baselines"]}
