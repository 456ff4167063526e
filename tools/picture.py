"""Makes the picture of the README: the top of the report that `make demo` writes.

    python tools/picture.py               # trains as the demo does, writes docs/images/report.png (`make picture`)

Needs Chromium on the PATH (Debian: apt-get install chromium); nothing is fetched.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "report.png"
WIDTH, HEIGHT = 1120, 900
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        print(f"None of {', '.join(BROWSERS)} is here. Debian: apt-get install chromium", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        run = Path("runs", "support-tickets")  # as the reader of the picture would have it
        subprocess.run([sys.executable, "-m", *demo(), "--out", str(run)], check=True, cwd=folder)
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             f"--window-size={WIDTH},{HEIGHT}", "--virtual-time-budget=10000", f"--user-data-dir={folder}/browser",
             f"--screenshot={PICTURE}", (Path(folder) / run / "report.html").as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip
    print(f"wrote {PICTURE.relative_to(ROOT)}")
    return 0


def demo() -> list[str]:
    """The command that `make demo` runs, as its Makefile has it, so that the picture can not show another; files of the
    project by their full path."""
    found = re.search(r"^demo:.*\n\t@?\$\(BIN\)/(tunesmith train .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit("The Makefile's demo is no call of `tunesmith train` any more.")
    return [str(ROOT / word) if (ROOT / word).is_file() else word for word in shlex.split(found[1])]


if __name__ == "__main__":
    sys.exit(main())
