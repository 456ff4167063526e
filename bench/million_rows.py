"""Many rows: does a file of a million get read, checked, tokenised and trained on in little memory?

    python bench/million_rows.py
    python bench/million_rows.py --rows 20000      # a rehearsal

Makes its own file of short made-up sentences. Training is stopped, as by Ctrl-C, after its first steps: what
comes later does not depend on how many rows there are.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common

STEPS = 20
LABELS = ("travel", "cooking", "garden", "music", "sport", "weather", "school", "money")


def main() -> None:
    arguments = parse()
    file = common.OUT / f"rows-{arguments.rows}.csv"
    if not file.exists():
        common.write_csv(file, ["text", "topic"], made_up(arguments.rows))
    check = common.measure([common.TUNESMITH, "check", file, "--json"], log=common.OUT / "logs" / "rows-check.log")
    print(f"check: {check.wall_seconds:.0f} s, {common.megabytes(check.peak_bytes)}", file=sys.stderr)
    train = start_training(file, arguments.method, arguments.patience)
    result = {
        "rows": arguments.rows,
        "file_bytes": file.stat().st_size,
        "check": common.record(check),
        "train": train,
    }
    common.save("million_rows", result)
    print(report(result))


def made_up(rows: int) -> Iterator[tuple[str, str]]:
    """Sentences of 5 to 14 made-up words; a few of them tell the topic."""
    dice = random.Random(7)
    syllables = [c + v for c in "bdfghklmnprstvz" for v in ("a", "e", "i", "o", "u", "an", "er", "il")]
    words = ["".join(dice.choices(syllables, k=dice.randint(1, 3))) for _ in range(20_000)]
    telling = {label: dice.sample(words, 60) for label in LABELS}
    for _ in range(rows):
        label = dice.choice(LABELS)
        sentence = dice.choices(words, k=dice.randint(3, 10)) + dice.choices(telling[label], k=dice.randint(2, 4))
        dice.shuffle(sentence)
        yield " ".join(sentence), label


def start_training(file: Path, method: str, patience: float) -> dict[str, Any]:
    """Train until some steps are done, then stop it as Ctrl-C does; what happened when, and the memory."""
    run = common.fresh("million-rows")
    log = common.OUT / "logs" / "rows-train.log"
    command = [common.TUNESMITH, "train", file, "--method", method, "--out", run]
    with open(log, "w") as messages:
        begin = time.time()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        before_steps = 0
        while process.poll() is None:
            time.sleep(1)
            steps = count_steps(run)
            if not steps:
                before_steps = max(before_steps, peak_so_far(process.pid))
            if steps >= STEPS or time.time() - begin > patience:
                break
        else:
            sys.exit(f"training ended by itself with code {process.returncode}: see {log}")
        peak = peak_so_far(process.pid)
        process.send_signal(signal.SIGINT)
        process.wait()
    times = [r["time"] for r in common.events(run) if r["event"] == "step"]
    if not times:
        sys.exit(f"no step within {patience:.0f} s: see {log}")
    return {
        "seconds_to_first_step": times[0] - begin,
        "steps": len(times),
        "peak_bytes": peak,
        "peak_bytes_before_first_step": before_steps,
        "code": process.returncode,
        "phases": common.phases(run),
    }


def count_steps(run: Path) -> int:
    path = run / "events.jsonl"
    return path.read_text(encoding="utf-8").count('"event": "step"') if path.exists() else 0


def peak_so_far(process: int) -> int:
    """Largest resident size of a process until now, in bytes."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def report(result: dict[str, Any]) -> str:
    check, train = result["check"], result["train"]
    first_step = f"{train['seconds_to_first_step']:.0f} s"
    rows = [
        ["tunesmith check", f"{check['wall_seconds']:.0f} s", common.megabytes(check["peak_bytes"])],
        [
            "tunesmith train, until its first step",
            first_step,
            common.megabytes(train["peak_bytes_before_first_step"]),
        ],
        [f"the same, after {train['steps']} steps", "", common.megabytes(train["peak_bytes"])],
    ]
    size = f"{result['rows']:,} rows, {common.megabytes(result['file_bytes'])} of CSV"
    return "\n".join([f"{size}:", "", common.table(["", "time", "peak memory"], rows)])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--method", default="full")
    parser.add_argument("--patience", type=float, default=3600, help="seconds to wait for the steps")
    return parser.parse_args()


if __name__ == "__main__":
    main()
