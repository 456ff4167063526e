"""What the commands print for people: text from plain values."""

from __future__ import annotations

import sys
from typing import Any

from tunesmith.cli.screen import entry, paint, table
from tunesmith.core.events import Event, Warned
from tunesmith.core.text import visible
from tunesmith.evaluate import words

Document = dict[str, Any]


_COLOURS = {"good": "green", "fair": "yellow", "poor": "red"}
_WRITTEN = {
    "exact_match": "word for word", "rougeL": "ROUGE-L", "chrf": "chrF", "length_ratio": "length, of the wanted",
    "stop_rate": "end by themselves",
}  # fmt: skip
"""What is shown of written answers, and what it is called."""
_GRAVITY = {"error": "red", "warning": "yellow"}


def run(found: Document, verbose: bool = False) -> str:
    """A run: the verdict first, then what simpler ways reach, then where things are."""
    lines = [f"run      {found['run']}  ({found['status']})"]
    lines.append(f"task     {found['task']}, model {found['model']}, method {found['method']}")
    document = found.get("document")
    if document is None:
        lines += _progress(found["progress"])
        if found["status"] != "running":
            lines.append(f"continue with: tunesmith resume {found['run']}")
        return "\n".join(lines)
    first = document["first_metric"]
    lines += ["", *_verdict(document["verdict"]), ""]
    contenders = {
        "this model": document["test"][first],
        **{words.baseline(n): b[first] for n, b in document["baselines"].items() if first in b},
    }
    rows = [(name, words.number(one["value"]), _between(one)) for name, one in contenders.items()]
    lines += [table((f"{words.metric(first)} on the test rows", "", "likely range (95 %)"), rows), ""]
    if verbose:
        every = [
            (words.metric(name), words.number(one["value"]), _between(one)) for name, one in document["test"].items()
        ]
        lines += [table(("every metric of this model", "", "likely range (95 %)"), every), ""]
    if "rougeL" in document["test"]:
        lines += [_written(document), ""]
    if document.get("examples"):
        lines += [*_examples(document["examples"]), ""]
    if words.forgetting_matters(document):
        lines += [_forgotten(document["forgetting"]), ""]
    for finding in document["findings"]:
        name = words.finding(finding["name"])
        told = finding["evidence"] if finding["evidence"].startswith(name) else f"{name}: {finding['evidence']}"
        lines.append(entry(finding["severity"], told, *filter(None, [_GRAVITY.get(finding["severity"])])))
        if finding["action"]:
            lines.append(entry("", f"-> {finding['action']}"))
    cost = document["cost"]
    moved = cost.get("trainable_parameters")  # runs of earlier versions do not say it
    lines += [
        "",
        *([f"trained  {moved:,} parameters"] if moved and verbose else []),
        f"took     {words.seconds(cost['wall_seconds'])}, {words.size(cost['peak_memory_bytes'])} of memory at most",
        f"report   {found['report']}",
        f"model    {found['model_folder']}",
        f"use it   tunesmith predict {found['run']} {_asked(found)}",
    ]
    if step := document["verdict"].get("next_step"):
        lines += ["", entry("next", step["words"]), *([f"         {step['command']}"] if step["command"] else [])]
    return "\n".join(lines)


def _asked(found: Document) -> str:
    """What is typed after `predict`: a picture, a text, or two texts."""
    if any(one["what"] == "image" for one in found["decisions"]):
        return "picture.png"
    examples = found["document"].get("examples") or [{"text": ""}]
    return '"..." "..."' if " ⟷ " in examples[0]["text"] else '"..."'


def _likely(interval: Document) -> str:
    return f"{words.number(interval['value'])}  ({_between(interval)})"


def _between(interval: Document) -> str:
    return f"{words.number(interval['low'])} to {words.number(interval['high'])}"


def _verdict(verdict: Document) -> list[str]:
    """Is it good, and is it worth more than something simpler?"""
    from tunesmith.evaluate.verdict import of_document  # brings scipy

    level, title, sentence = of_document(verdict)
    if "good" not in verdict:  # of an earlier version
        return [entry("verdict", sentence)]
    return [
        f"{'verdict':9}{paint(title, 'bold', _COLOURS.get(level, 'bold'))}",
        entry("good?", verdict["good"]["words"]),
        entry("worth?", verdict["worth"]["words"]),
    ]


def _examples(examples: list[Document]) -> list[str]:
    """Three test rows with what the model says of them."""
    lines = []
    for number, one in enumerate(examples):
        said = one["predicted"]
        answer = ", ".join(said) or "(no label)" if isinstance(said, list) else visible(str(_rounded(said)))
        sure = "" if one["probability"] is None else f" ({words.sureness(one['probability'])})"
        right = "" if said == one["truth"] or not sure else f"; it should be {visible(str(one['truth']))}"
        lines += [entry("" if number else "tries", f"“{visible(one['text'])}”"), entry("", f"-> {answer}{sure}{right}")]
    return lines


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _progress(found: Document) -> list[str]:
    """How far an unfinished run has come, a line for each thing that is known of it."""
    lines = []
    if phase := found.get("phase"):
        lines.append(f"last in  {phase['phase']}: {phase['detail']}".rstrip(": "))
    if step := found.get("step"):
        lines.append(
            f"trained  step {step['step']} of {step['steps']}, epoch {step['epoch']:.2f}, loss {step['loss']:.4f}"
        )
    for name, what in (("evaluated", "latest"), ("best", "best")):
        if one := found.get(name):
            numbers = ", ".join(f"{metric} {value:.4f}" for metric, value in one["metrics"].items())
            lines.append(f"{what:8} {one['split']} at step {one['step']}: {numbers}")
    if saved := found.get("saved"):
        lines.append(f"saved    at step {saved['step']}, from where it would go on")
    if failed := found.get("failed"):
        lines.append(f"failed   {failed['message']}")
    elif paused := found.get("paused"):
        lines.append(f"paused   at step {paused['step']}: {paused['reason']}")
    return lines


def _written(document: Document) -> str:
    """How alike the written answers are to the wanted ones, by contender."""
    shown = [name for name in _WRITTEN if name in document["test"]]
    contenders = {"this model": document["test"], **document["baselines"]}
    rows = [
        (words.baseline(who), *(f"{found[name]['value']:.3f}" if name in found else "" for name in shown))
        for who, found in contenders.items() if any(name in found for name in shown)
    ]  # fmt: skip
    return table(("written answers", *(_WRITTEN[name] for name in shown)), rows)


def _forgotten(found: Document) -> str:
    """What was kept of what was known before, by task where there are some, and of all tasks in turn."""
    lines = [f"{'kept':9}{words.forgotten(found)}"]
    tasks = [
        (one["name"], one["metric"], f"{one['before']:.4f}", f"{one['after']:.4f}", _interval(one["lost"]))
        for one in found.get("tasks", ())
    ]
    if tasks:
        lines += ["", table(("retained", "metric", "before", "after", "lost (95 % interval)"), tasks)]
    if "matrix" in found:
        names, values = found["matrix"]["tasks"], found["matrix"]["values"]
        rows = [
            (name, *("-" if value is None else f"{value:.4f}" for value in row), *[""] * (len(names) - len(row)))
            for name, row in zip(names, values, strict=True)
        ]
        lines += ["", table(("after", *names), rows)]
        known = [key for key in ("average_forgetting", "backward_transfer") if key in found]
        sums = [f"{key.replace('_', ' ')} {round(found[key], 4) + 0.0:.4f}" for key in known]
        lines += [", ".join(sums)] if sums else []
    return "\n".join(lines)


def evaluated(found: Document) -> str:
    new = found.get("new")
    if not new:
        only = [(words.metric(name), _likely(interval)) for name, interval in found["metrics"].items()]
        return f"{found['rows']:,} rows\n" + table(("", "value (likely range, 95 %)"), only)
    rows: list[tuple[str, ...]] = [
        (
            words.metric(name),
            *([_likely(new["metrics"][name]) if name in new["metrics"] else ""] if new["rows"] else []),
            words.number(interval["value"]),
        )
        for name, interval in found["metrics"].items()
    ]
    told = (
        f"{new['rows']:,} of {found['rows']:,} rows are new to the model; it was trained on {found['trained_rows']:,}"
    )
    told += f" and chosen by {found['validation_rows']:,}" if found["validation_rows"] else ""
    if not new["rows"]:
        return f"{told}: how it does on other rows is not seen here\n" + table(("", "rows it knows"), rows)
    head = ("", "new rows (likely range, 95 %)", "with the rows it knows")
    return f"{told}\n" + table(head, rows)


def predicted(found: Document) -> str:
    lines = []
    for answer in found["predictions"]:
        if "text" in answer:
            lines.append(answer["text"])
        elif "value" in answer:
            lines.append(f"{answer['value']:.4g}")
        elif "label" in answer:
            label = answer["label"] if answer["label"] is not None else "(abstains)"
            lines.append(f"{label}  {answer['probability']:.4f}")
        elif "score" in answer:
            lines.append(f"{answer['score']:.4f}")
        elif "vector" in answer:
            lines.append(" ".join(f"{number:.5f}" for number in answer["vector"]))
        elif "shares" in answer:
            lines.append("  ".join(f"{name} {share:.4f}" for name, share in answer["shares"].items()))
        elif "labels" not in answer:
            parts = ["  ".join(map(str, one.values())) for one in next(iter(answer.values()))]
            lines += parts or ["(nothing)"]
        else:
            given = [f"{name} {answer['probabilities'][name]:.4f}" for name in answer["labels"]]
            lines.append("  ".join(given) if given else "(no label)")
        if "label" in answer and "probabilities" in answer:
            best = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
            lines += [f"    {name}  {value:.4f}" for name, value in best]
    return "\n".join(lines)


def runs(found: Document) -> str:
    if not found["runs"]:
        return "No runs here. Start one with: tunesmith train FILE"
    rows = []
    for one in found["runs"]:
        reached = f"{words.metric(one['metric'])} {_likely(one)}" if "metric" in one else ""
        rows.append((one["run"], one["status"], one["method"], one["model"], reached, one.get("outcome", "")))
    damaged = [f"{r['run']}: {r['problem']}" for r in found["runs"] if "problem" in r]
    return "\n".join([table(("run", "status", "method", "model", "test metric", "verdict"), rows), *damaged])


def plugins(found: Document) -> str:
    """What each is, in a line."""
    seam, listed = next(iter(found.items()))
    rows = [(plugin["name"], plugin.get("problem", plugin["summary"])) for plugin in listed]
    width = max(len(name) for name, _ in rows) + 2
    lines = [entry(name, summary, indent=width) for name, summary in rows]
    return "\n".join([*lines, "", f"The options of one: tunesmith {seam} NAME"])


def plugin(found: Document) -> str:
    """One of them, with its options."""
    lines = [f"{found['name']}: {found['summary']}", ""]
    for option in found["options"]:
        default = "chosen" if option["default"] is None else option["default"]
        lines.append(f"--set {option['name']}={default}  ({option['type']})")
        lines.append(entry("", option["help"], indent=4))
    return "\n".join(lines if found["options"] else [lines[0], "It has no options of its own."])


def doctor(found: Document) -> str:
    """What is installed, what this machine can do in words, and what more there is."""
    machine, lines = found["machine"], [paint("Installed", "bold")]
    lines += [f"  {name:14} {value}" for name, value in found["versions"].items()]
    if machine:
        gpu = machine["device"] != "cpu"
        faster = machine["bf16_speedup"]
        short = (
            f"yes: short numbers (bf16) make it {faster:.1f} times as fast, and are used"
            if faster >= 1.2 else "no: short numbers (bf16) are not faster here, so long ones (fp32) are used"
        )  # fmt: skip
        lines += ["", paint("This machine", "bold")]
        lines += [
            f"  {name:14} {value}"
            for name, value in {
                "computes on": f"a GPU ({machine['device']})" if gpu else
                               f"the processor, {machine['threads']} cores at once; no GPU was found",
                "memory": f"{machine['memory_gb']:g} GB; `tunesmith models` says what each model needs",
                "free disk": f"{machine['disk_free_gb']:g} GB in this folder; a run of the default model takes 0.5 GB",
                "short numbers": short,
            }.items()
        ]  # fmt: skip
    none = "none: the first training fetches one from the hub"
    lines += ["", paint("Base models that need no download", "bold"), f"  {', '.join(found['models']) or none}"]
    if found["extras"]:
        lines += ["", paint("Optional parts", "bold")]
        lines += [
            f"  {extra['name']:14} {'installed' if extra['installed'] else 'not installed: ' + extra['install']}\n"
            f"  {'':14} for {extra['for']}"
            for extra in found["extras"]
        ]
    lines += ["", *(f"{paint('problem:', 'red')} {problem}" for problem in found["problems"])]
    lines.append(paint("All is well.", "green") if found["ok"] else paint("Something must be fixed.", "red"))
    return "\n".join(lines)


def _interval(interval: Document) -> str:
    return f"{interval['value']:.4f}  ({interval['low']:.4f} to {interval['high']:.4f})"


def warned(event: Event) -> None:
    """What the user should know of a command that shows no progress; standard output is for what it found."""
    if isinstance(event, Warned):
        print(visible(f"warning, {event.what}: {event.message}"), file=sys.stderr)


def show_search(found: Document) -> str:
    """The words, the best settings, and the ten best trials."""
    sign = -1 if found["higher_is_better"] else 1
    done = [t for t in found["trials"] if t["state"] == "complete"]
    best = sorted(done, key=lambda t: (sign * t["value"], t["loss"]))[:10]
    rows = [
        (str(t["number"]), words.number(t["value"]), words.seconds(t["seconds"]), _settings(t["words"])) for t in best
    ]
    head = ("trial", f"{words.metric(found['metric'])} (validation)", "time", "settings")
    lines = [*found["words"], "", table(head, rows), ""]
    return "\n".join([*lines, f"best     {_settings(found['best']['words'])}", f"run      {found['run']}"])


def show_folds(found: Document) -> str:
    return _repeated(found) + f"\npredictions  {found['predictions']}"


def show_seeds(found: Document) -> str:
    return _repeated(found)


def show_until(found: Document) -> str:
    """The words, and every step with its reason."""
    rows = [
        (str(s["number"]), "failed" if s["value"] is None else f"{s['value']:.4f}", "kept" if s["kept"] else "",
         _settings(s["change"] or {}) or "-", s["why"][:80])
        for s in found["steps"]
    ]  # fmt: skip
    head = ("step", f"{words.metric(found['metric'])} (validation)", "", "change", "why")
    return "\n".join([*found["words"], "", table(head, rows), "", f"run      {found['run']}"])


def show_comparison(found: Document) -> str:
    """The words, and the contenders from the bottom up."""
    rows = [
        (r["title"], words.number(r["value"]), f"{words.number(r['low'])} to {words.number(r['high'])}",
         words.seconds(r["seconds"]), words.size(r["peak_memory_bytes"]), words.bytes_(r["size_bytes"]),
         words.kept(r.get("forgetting")), r["against_below"] or "")
        for r in found["rungs"]
    ]  # fmt: skip
    head = (f"{words.metric(found['metric'])} on the test rows", "", "likely range (95 %)", "time", "memory", "size",
            "kept of the base", "than the one before")  # fmt: skip
    return "\n".join([table(head, rows), "", *filter(None, found["words"])])


def _repeated(found: Document) -> str:
    names = list(found["mean"])[:5]
    rows = [(str(run["name"]), *(_value(run["metrics"].get(name)) for name in names)) for run in found["runs"]]
    rows += [(title, *(_value(found[key].get(name)) for name in names))
             for title, key in (("mean", "mean"), ("standard deviation", "spread"))]  # fmt: skip
    return "\n".join([*found["words"], "", table(("", *map(words.metric, names)), rows)])


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _settings(words: Document) -> str:
    shown = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in words.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())
