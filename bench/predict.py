"""Rows per second of prediction, against `transformers.pipeline` on the same saved model.

    python bench/predict.py                      # trains a model with --method head first
    python bench/predict.py --run runs/bank

Both read the same CSV file and answer every row, taking turns; loading the model is left out of the rows
per second and counted in the wall time. Their labels are compared one by one.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

import common

CONTENDERS = ("tunesmith", "pipeline")


def main() -> None:
    arguments = parse()
    if arguments.worker:
        print(json.dumps({"tunesmith": with_tunesmith, "pipeline": with_pipeline}[arguments.worker](arguments)))
        return
    data = common.data_set("banking77", ["train.csv", "test.csv"], arguments.data)
    file = arguments.file or data / "test.csv"
    run = arguments.run or trained(data)
    found: list[dict[str, Any]] = []
    for number in range(arguments.runs):
        for contender in CONTENDERS:
            found.append(one_run(contender, number, run, file, arguments.text))
            print(f"{contender:>10} #{number}: {found[-1]['rows_per_second']:.0f} rows/s", file=sys.stderr)
    command = command_line(run, file)
    result = {"file": file.name, "runs": found, "command_line": command, **agreement()}
    common.save("predict", result)
    print(report(result))


def trained(data: Path) -> Path:
    run = common.fresh("predict-model")
    common.measure(
        [common.TUNESMITH, "train", data / "train.csv", "--test", data / "test.csv", "--method", "head",
         "--out", run, "--json"],
        log=common.OUT / "logs" / "predict-train.log",
    )  # fmt: skip
    return run


def one_run(contender: str, number: int, run: Path, file: Path, text: str) -> dict[str, Any]:
    measured = common.measure(
        [sys.executable, __file__, "--worker", contender, "--run", run, "--file", file, "--text", text],
        log=common.OUT / "logs" / f"predict-{contender}-{number}.log",
    )
    return {"contender": contender, "number": number, **common.record(measured), **measured.last_json()}


def command_line(run: Path, file: Path) -> dict[str, Any]:
    """`tunesmith predict --file --out` as a user types it."""
    out = common.OUT / "predicted.csv"
    out.unlink(missing_ok=True)
    measured = common.measure(
        [common.TUNESMITH, "predict", run, "--file", file, "--out", out],
        log=common.OUT / "logs" / "predict-command-line.log",
    )
    return common.record(measured) | {"rows": len(common.read_csv(out))}


def answers_path(contender: str) -> Path:
    return common.OUT / f"predict-{contender}.csv"


def with_tunesmith(arguments: argparse.Namespace) -> dict[str, Any]:
    import tunesmith

    model = tunesmith.load(arguments.run)
    model.predict(["warm up"])
    out = answers_path("tunesmith")
    start = time.perf_counter()
    rows = tunesmith.predict(model, arguments.file, out)
    seconds = time.perf_counter() - start
    return {"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds}


def with_pipeline(arguments: argparse.Namespace) -> dict[str, Any]:
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    classify = pipeline("text-classification", model=str(arguments.run / "model"), batch_size=32, truncation=True)
    classify(["warm up"])
    start = time.perf_counter()
    rows = common.read_csv(arguments.file)
    answers = classify([row[arguments.text] for row in rows])
    with open(answers_path("pipeline"), "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*rows[0], "predicted", "probability"])
        for row, answer in zip(rows, answers, strict=True):
            writer.writerow([*row.values(), answer["label"], answer["score"]])
    seconds = time.perf_counter() - start
    return {"rows": len(rows), "seconds": seconds, "rows_per_second": len(rows) / seconds}


def agreement() -> dict[str, Any]:
    """Do both say the same, row by row?"""
    ours, theirs = (common.read_csv(answers_path(contender)) for contender in CONTENDERS)
    pairs = list(zip(ours, theirs, strict=True))
    differing = [a for a, b in pairs if a["predicted"] != b["predicted"]]
    apart = max(abs(float(a["probability"]) - float(b["probability"])) for a, b in pairs)
    return {"rows": len(pairs), "differing_labels": len(differing), "largest_difference": apart}


def report(result: dict[str, Any]) -> str:
    speeds = {
        contender: common.median(r["rows_per_second"] for r in result["runs"] if r["contender"] == contender)
        for contender in CONTENDERS
    }
    walls = {
        contender: common.median(r["wall_seconds"] for r in result["runs"] if r["contender"] == contender)
        for contender in CONTENDERS
    }
    names = {"tunesmith": "tunesmith.predict", "pipeline": "transformers.pipeline(batch_size=32)"}
    rows = [
        [names[c], f"{speeds[c]:,.0f}", common.times(speeds[c] / speeds["pipeline"]), f"{walls[c]:.1f} s"]
        for c in CONTENDERS
    ]
    rows.append(["tunesmith predict --file", "", "", f"{result['command_line']['wall_seconds']:.1f} s"])
    agree = f"Of {result['rows']:,} labels {result['differing_labels']} differ"
    return "\n".join(
        [
            common.table(["", "rows/s", "ratio", "wall time with loading"], rows),
            "",
            f"{agree}; probabilities differ by at most {result['largest_difference']:.1e}.",
        ]
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train.csv and test.csv; banking77 when not given")
    parser.add_argument("--run", type=Path, help="a finished run; trained when not given")
    parser.add_argument("--file", type=Path, help="CSV file to predict; the test file when not given")
    parser.add_argument("--text", default="text", help="its text column")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
