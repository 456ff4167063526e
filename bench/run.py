"""Runs every benchmark and writes their tables into docs/benchmarks.md.

    python bench/run.py                        # all of it, hours (`make bench`)
    python bench/run.py --only steps,predict   # some of it; the page keeps what was measured before
    python bench/run.py --quick                # does it all still work? minutes; writes no page
    python bench/run.py --page                 # only the page, from bench/out

Within each script the contenders take turns; the scripts run one after the other, as two at once would
disturb each other.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

import common
import end_to_end
import few_shot
import forgetting
import gradual
import language
import million_rows
import plan
import predict
import quality
import search
import steps

PAGE = common.ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench:begin (written by bench/run.py) -->", "<!-- bench:end -->"

BENCHMARKS: dict[str, tuple[str, Any, list[str]]] = {
    "end_to_end": ("From files to metrics", end_to_end.report, ["--runs", "1", "--rates", "3e-4"]),
    "steps": ("Training steps", steps.report, ["--runs", "1", "--steps", "10"]),
    "gradual": ("Thawing stage by stage", gradual.report, ["--runs", "1", "--rows", "300", "--epochs", "2"]),
    "language": (
        "Fine-tuning a language model",
        language.report,
        ["--runs", "1", "--steps", "5", "--peer-steps", "1", "--packed-steps", "1"],
    ),
    "plan": ("Predicted and taken", plan.report, ["--methods", "lora"]),
    "predict": ("Prediction", predict.report, ["--runs", "1"]),
    "forgetting": (
        "Two tasks in turn",
        forgetting.report,
        ["--seeds", "0", "--rows", "300", "--contenders", "plain,ewc"],
    ),
    "few_shot": ("Few rows a class", few_shot.report, ["--rows", "8", "--contenders", "head"]),
    "search": ("Search with pruning", search.report, ["--seeds", "0", "--rows", "300", "--budget", "3 trials"]),
    "million_rows": ("A million rows", million_rows.report, ["--rows", "20000"]),
    "quality": ("How good", quality.report, ["--sets", "sms_spam", "--methods", "head"]),
}
"""Name of script and result: heading, what makes its table, and flags for a rehearsal."""


def main() -> None:
    arguments = parse()
    names = arguments.only.split(",") if arguments.only else list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark called {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    for name in names if not arguments.page else []:
        print(f"\n== {name}", flush=True)
        flags = BENCHMARKS[name][2] if arguments.quick else []
        done = subprocess.run([sys.executable, str(common.BENCH / f"{name}.py"), *flags], check=False)
        if done.returncode not in (0, common.NOT_HERE):
            sys.exit(f"{name} failed; what was measured before it lies in {common.OUT}")
    if not arguments.quick:
        write_page()


def write_page() -> None:
    """Put the tables of bench/out between the markers of the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{section()}\n{END}{after}", encoding="utf-8")
    print(f"\nwrote {PAGE.relative_to(common.ROOT)}")


def section() -> str:
    parts = []
    for name, (heading, report, _) in BENCHMARKS.items():
        result = common.saved(name)
        if result is None:
            continue
        here = result["machine"]
        packages = f"torch {here['torch']}, transformers {here['transformers']}"
        on = f"{here['processor']}, {here['cores']} cores; {packages}"
        parts.append(f"### {heading}\n\n{report(result)}\n\n*`bench/{name}.py` on {on}.*")
    return "\n\n".join(parts) or "Not measured yet: run `make bench`."


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of benchmarks, with commas")
    parser.add_argument("--quick", action="store_true", help="a rehearsal with little work")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
