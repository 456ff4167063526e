"""Writes constraints.txt: the versions that a clean install of everything gives today.

Makes a fresh environment in a temporary folder, lets pip choose freely within the ranges of
pyproject.toml, and freezes the outcome. Run it (`make lock`) to move to newer versions, then
`make test-all`. Does not look at the environment it runs in.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {"pip", "tunesmith", "triton", "pytorch-triton"}

HEADER = """\
# The exact versions that Tunesmith is tested with; `make lock` writes this file.
#
#     pip install -c constraints.txt -e '.[quickstart,quickstart-image]'
#
# A pin holds for every build of that version (torch==2.13.0 also for 2.13.0+cpu). The GPU libraries
# that some torch builds bring are not listed: torch pins those itself.
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tunesmith-lock-") as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder, "bin", "python")), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", f"{ROOT}[quickstart,quickstart-image,dev]"], check=True)
        frozen = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout
    pins = [pin for line in frozen.splitlines() if (pin := portable(line))]
    text = HEADER + "\n".join(sorted(pins, key=str.lower)) + "\n"
    (ROOT / "constraints.txt").write_text(text, encoding="utf-8")
    print(f"constraints.txt: {len(pins)} pins", file=sys.stderr)


def portable(line: str) -> str | None:
    """The pin without what only holds on this machine; None for what is not to be pinned.

    portable("torch==2.13.0+cpu")          # "torch==2.13.0"
    portable("nvidia-cudnn-cu13==9.1.0")   # None: torch pins it, and only some builds have it
    portable("tunesmith @ file:///...")    # None: ourselves
    """
    match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^+\s]+)(\+\S+)?", line.strip())
    if match is None:
        return None
    name, version = match[1], match[2]
    if name.lower() in SKIPPED or name.lower().startswith(("nvidia-", "cuda-")):
        return None
    return f"{name}=={version}"


if __name__ == "__main__":
    main()
