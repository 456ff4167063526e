"""tools/setup.sh on machines that lack something: it names the package that helps."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("sh", "dirname", "sed", "tr", "uname", "touch")

pytestmark = pytest.mark.skipif(shutil.which("uname") is None, reason="needs a Unix shell")


class Machine:
    """A made-up machine: its own PATH, its own system name, a copy of the set-up script."""

    def __init__(self, folder: Path, system: str):
        self.folder = folder
        self.programs = folder / "programs"
        self.programs.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.programs / tool).symlink_to(found)
        self._program("uname", "echo Linux")
        (folder / "os-release").write_text(system)
        (folder / "tools").mkdir()
        shutil.copy(ROOT / "tools" / "setup.sh", folder / "tools")

    def python(self, version: str, *, venv: bool, name: str = "python3") -> None:
        """A pretend Python: answers the questions of the script, and logs every other call."""
        new_enough = tuple(map(int, version.split("."))) >= (3, 11)
        self._program(
            name,
            f"""case "$*" in
*ensurepip*) exit {0 if venv else 1} ;;
*sys.exit*) exit {0 if new_enough else 1} ;;
*print*) echo {version} ;;
*) echo "{name} $*" >> {self.folder}/calls ;;
esac""",
        )

    def _program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!{self.programs}/sh\n{script}\n")
        path.chmod(0o755)

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.programs / "sh"), "tools/setup.sh"], cwd=self.folder, capture_output=True, text=True,
            env={"PATH": str(self.programs), "OS_RELEASE": str(self.folder / "os-release"), **environment},
            check=False,
        )  # fmt: skip

    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text().splitlines() if log.exists() else []


DEBIAN, FEDORA, MINT = "ID=debian\n", "ID=fedora\n", 'ID=linuxmint\nID_LIKE="ubuntu debian"\n'


@pytest.mark.parametrize(
    ("system", "line"),
    [
        (DEBIAN, "apt-get install python3.11-venv"),
        (MINT, "apt-get install python3.11-venv"),
        (FEDORA, "dnf install python3"),
        ("ID=somethingelse\n", "https://www.python.org/downloads/"),
    ],
)
def test_says_which_package_brings_venv(tmp_path: Path, system: str, line: str) -> None:
    machine = Machine(tmp_path, system)
    machine.python("3.11", venv=False)
    done = machine.set_up()
    assert done.returncode == 1
    assert "its venv module is not" in done.stderr
    assert line in done.stderr
    assert machine.calls() == []


def test_says_that_python_is_too_old(tmp_path: Path) -> None:
    machine = Machine(tmp_path, FEDORA)
    machine.python("3.9", venv=True)
    done = machine.set_up()
    assert done.returncode == 1
    assert "3.11 or newer; the one here is 3.9" in done.stderr
    assert "dnf install python3.12" in done.stderr


def test_says_that_there_is_no_python(tmp_path: Path) -> None:
    done = Machine(tmp_path, DEBIAN).set_up()
    assert done.returncode == 1
    assert "no Python here" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_passes_over_an_old_python_for_a_new_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path, DEBIAN)
    machine.python("3.9", venv=True)
    machine.python("3.12", venv=True, name="python3.12")
    machine.set_up()
    assert machine.calls() == ["python3.12 -m venv --clear .venv"]


def test_takes_the_python_that_the_user_names(tmp_path: Path) -> None:
    machine = Machine(tmp_path, DEBIAN)
    machine.python("3.11", venv=True)
    machine.python("3.13", venv=True, name="mine")
    machine.set_up(PYTHON="mine")
    assert machine.calls() == ["mine -m venv --clear .venv"]
