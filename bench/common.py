"""What the benchmarks share: where data is, running a command with clock and memory meter, tables.

Imports nothing heavy. A process counts its parent's memory until it starts its own program, so the
scripts that measure have to stay small themselves.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
OUT = BENCH / "out"
DATA = Path(os.environ.get("TUNESMITH_DATA", ROOT.parent / "shared" / "data"))
TUNESMITH = str(Path(sys.executable).with_name("tunesmith"))
NOT_HERE = 77
"""Exit code of a script whose data is absent."""


@dataclass
class Measured:
    """One finished command."""

    code: int
    wall_seconds: float
    peak_bytes: int
    """Largest resident size of the process or of one of its children."""
    processor_seconds: float
    stdout: str
    log: str

    def last_json(self) -> dict[str, Any]:
        """The JSON object on the last line of the output."""
        found: dict[str, Any] = json.loads(self.stdout.strip().splitlines()[-1])
        return found


def measure(command: Sequence[object], *, log: Path, accept: Iterable[int] = (0,)) -> Measured:
    """Run `command` to its end, its messages in `log`. Ends the benchmark when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    output = log.with_suffix(".out")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    with open(log, "w") as messages, open(output, "w") as answers:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL, stdout=answers, stderr=messages, env=environment,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = code = os.waitstatus_to_exitcode(status)
    if code not in accept:
        tail = "\n".join((log.read_text() + output.read_text()).splitlines()[-30:])
        sys.exit(f"{' '.join(map(str, command))}\nended with code {code}:\n{tail}")
    unit = 1 if platform.system() == "Darwin" else 1024
    return Measured(code, wall, usage.ru_maxrss * unit, usage.ru_utime + usage.ru_stime, output.read_text(), str(log))


def fresh(name: str) -> Path:
    """A path for a run folder that does not exist yet."""
    path = OUT / "runs" / name
    if path.exists():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def data_set(name: str, files: Sequence[str], given: Path | None = None) -> Path:
    """The folder of a data set, or the end of the script with a word about where it should be."""
    folder = given or DATA / name
    missing = [file for file in files if not (folder / file).exists()]
    if missing:
        not_here(f"{folder} has no {', '.join(missing)}; give --data DIR or set TUNESMITH_DATA.")
    return folder


def not_here(message: str) -> NoReturn:
    print(f"skipped: {message}", file=sys.stderr)
    sys.exit(NOT_HERE)


def events(run: Path) -> list[dict[str, Any]]:
    """The records of a run's events.jsonl, as far as they are written."""
    path = run / "events.jsonl"
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def phases(run: Path) -> dict[str, float]:
    """Seconds from the beginning of each phase of a run to that of the next."""
    marks = [(r["time"], r["phase"]) for r in events(run) if r["event"] == "phase"]
    records = events(run)
    ends = [time for time, _ in marks[1:]] + [records[-1]["time"]] if marks else []
    spent: dict[str, float] = {}
    for (begin, phase), end in zip(marks, ends, strict=True):
        spent[phase] = round(spent.get(phase, 0.0) + end - begin, 2)
    return spent


def metrics(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return found


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = {name: version(name) for name in ("tunesmith", "torch", "transformers")}
    return {"processor": processor, "cores": cores, "python": platform.python_version(), **packages}


def save(name: str, result: dict[str, Any]) -> None:
    """Write bench/out/<name>.json."""
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine(), **result}, indent=2, default=str)
    (OUT / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def saved(name: str) -> dict[str, Any] | None:
    path = OUT / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, aligned so that a terminal shows it well; first column left, others right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "| " + " | ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ) + " |"
        for row in cells
    ]  # fmt: skip
    rule = "|" + "|".join("-" * (width + 1) + ("-" if not column else ":") for column, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def megabytes(size: float) -> str:
    return f"{size / 2**20:,.0f} MB"


def times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio < 100 else f"{ratio:.0f}x"


def record(measured: Measured) -> dict[str, Any]:
    """What to keep of a finished command."""
    return {name: value for name, value in asdict(measured).items() if name != "stdout"}
