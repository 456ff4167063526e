"""Bad input, from the command line: exit code 2, a message that says where, and nothing left behind.

What exactly is found wrong in a file, and in which row, is the business of the tests of `data`.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.run import RunFolder

Run = Callable[..., Any]


def lines(rows: int = 20) -> list[str]:
    return ["text,label", *(f"some words number {n} of them,{'ab'[n % 2]}" for n in range(rows))]


def csv(rows: list[str]) -> bytes:
    return ("\n".join(rows) + "\n").encode()


BIG = "x" * (10 * 2**20 + 1)
NOISE = random.Random(0).randbytes(4_000)

# name of the case: the bytes of data.csv, more arguments, what the message must say
FILES: dict[str, tuple[bytes, list[str], list[str]]] = {
    "empty file": (b"", [], ["data.csv", "empty"]),
    "header only": (csv(["text,label"]), [], ["data.csv"]),
    "one class": (csv(["text,label", *(f"words {n} more,same" for n in range(20))]), ["--target", "label"],
                  ["data.csv", "column 'label'"]),
    "a class with one row": (csv([*lines(), "the only one,zz"]), [],
                             ["data.csv", "row 21", "column 'label'", "'zz' has only this one row"]),
    "all texts empty": (csv(["text,label", *(f"  ,{'ab'[n % 2]}" for n in range(20))]), [],
                        ["data.csv", "0 of 20 rows are left", "column 'text'"]),
    "target missing": (csv(["text,label", *(f"words {n} more," for n in range(20))]), ["--target", "label"],
                       ["data.csv", "column 'label'"]),
    "target misspelt": (csv(lines()), ["--target", "lable"],
                        ["data.csv", "column 'lable'", "--target", "Did you mean 'label'?"]),
    "text misspelt": (csv(lines()), ["--text", "txet"], ["column 'txet'", "--text", "Did you mean 'text'?"]),
    "target constant": (csv(["text,score", *(f"words {n} more,3.5" for n in range(20))]),
                        ["--task", "text-regression", "--target", "score"], ["data.csv", "column 'score'"]),
    "words among numbers": (csv(["text,score", *(f"some words {n},{'high' if n == 6 else n / 3}" for n in range(20))]),
                            ["--task", "text-regression"],
                            ["data.csv", "line 8", "row 7", "column 'score'", "'high' is not a number"]),
    "a cell of 10 MB": (csv([*lines(), f"{BIG},a"]), [], ["data.csv", "row 21", "column 'text'", "10,485,760"]),
    "NUL bytes": (csv([*lines(), "a \0 b,a"]), [], ["data.csv", "row 21", "column 'text'", "NUL"]),
    "broken quotes": (csv([*lines(), '"never closed,a', *lines()[1:]]), [],
                      ["data.csv", "row 21", "column 'text'", "never closed"]),
    "binary named csv": (b"\x89PNG\r\n\x1a\n" + NOISE, [], ["data.csv", "PNG"]),
    "unknown binary": (NOISE, [], ["data.csv", "unknown kind"]),
}  # fmt: skip

# arguments, and what the message must say; the data is good
OPTIONS: dict[str, tuple[list[str], list[str]]] = {
    "unknown task": (["--task", "text-clasification"], ["--task", "Did you mean 'text-classification'?"]),
    "unknown method": (["--method", "lroa"], ["--method", "Did you mean 'lora'?"]),
    "unknown model": (["--model", "minlm"], ["'minlm'", "Did you mean 'minilm'?"]),
    "unknown option": (["--set", "epoch=3"], ["'epoch'", "Did you mean 'epochs'?"]),
    "option of another method": (["--method", "head", "--set", "rank=4"], ["'rank'", "belongs to method lora"]),
    "the folder as a setting": (["--set", "out=there"], ["--set out=there", "--out DIR"]),
    "the data as a setting": (["--set", "data=there.csv"], ["--set data=there.csv", "first argument"]),
    "no rows to test on": (["--set", "test_size=0"], ["test_size=0", "--test"]),
    "no rows to validate on": (["--set", "validation_size=0"], ["validation_size=0", "--validation"]),
    "no rows to train on": (["--set", "validation_size=0.5", "--set", "test_size=0.5"], ["no rows for training"]),
    "none of several kinds of value": (
        ["--set", "class_weights=always"],
        ["class_weights': got 'always', but expected auto | off | dict[str, float]"],
    ),
    "value that does not fit": (["--set", "epochs=-1"], ["'epochs'", "-1", "greater than or equal to 0"]),
    "value of another kind": (["--set", "epochs=many"], ["'epochs'", "'many'", "int"]),
    "choice that is none": (["--set", "precision=fp8"], ["'precision'", "'fp8'", "auto | fp32 | bf16"]),
    "setting without a value": (["--set", "epochs"], ["--set epochs", "NAME=VALUE"]),
    "seed": (["--seed", "-1"], ["'seed'", "-1"]),
    "test file missing": (["--test", "tset.csv"], ["tset.csv"]),
    "group column": (["--set", "group=usr"], ["'usr'", "group"]),
    "block that is none": (["--freeze", "layer.0"], ["freeze: 'layer.0' names no block", "embeddings, layers.0"]),
    "block as a setting": (["--set", "freeze=layers.77"], ["freeze: 'layers.77'"]),
    "a sheet of a text file": (["--sheet", "Data"], ["--sheet names a sheet of a workbook"]),
    "an encoding of names": (["--encoding", "idna"], ["'encoding'", "no encoding of texts"]),
    "the target in the text": (["--text", "text+label", "--target", "label"], ["text and target at once"]),
}


def refuse(run: Run, *arguments: object, parts: list[str], left: set[str]) -> Any:
    said = run("train", *arguments)
    assert said.code == 2, said.stderr
    for part in parts:
        assert part in said.stderr
    assert said.stderr.count("Error: ") == 1
    assert "Traceback" not in said.stderr
    assert "step 1/" not in said.stderr
    assert said.stdout == ""
    assert {str(path) for path in Path().rglob("*")} == left  # no run folder, and none for runs
    return said


# the same, for what `check` does not know
TRAINING: dict[str, tuple[list[str], list[str]]] = {
    "no seeds": (["--seeds", "0"], ["--seeds 0: expected at least two"]),
    "one fold": (["--cv", "1"], ["--cv 1: expected 2 to"]),
    "soup of one": (["--soup"], ["--soup averages the models of several seeds", "Add --seeds 3"]),
    "folds and seeds": (["--cv", "3", "--seeds", "2"], ["--cv and --seeds do not go together"]),
    "goal out of reach": (["--until", "f1=2"], ["--until f1=2: f1_macro lies between 0 and 1"]),
    "weight of no label": (["--set", "class_weights={c:2}"], ["class_weights names 'c'"]),
    "weight below zero": (["--set", "class_weights={a:-1,b:2}"], ["class_weights gives 'a' -1"]),
    "unknown callback": (["--callback", "early-stoping"], ["callback", "Did you mean 'early-stopping'?"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_data_that_can_not_be_used(case: str, run: Run, tiny_model: Path) -> None:
    content, arguments, parts = FILES[case]
    Path("data.csv").write_bytes(content)
    refuse(run, "data.csv", "--model", tiny_model, *arguments, parts=parts, left={"data.csv"})


@pytest.mark.parametrize("case", [*OPTIONS, *TRAINING])
def test_options_that_do_not_fit(case: str, run: Run, tiny_model: Path) -> None:
    arguments, parts = {**OPTIONS, **TRAINING}[case]
    Path("data.csv").write_bytes(csv(lines()))
    model = [] if "--model" in arguments else ["--model", str(tiny_model)]
    refuse(run, "data.csv", *model, *arguments, "--out", "run", parts=parts, left={"data.csv"})


@pytest.mark.parametrize("case", ["target misspelt", "words among numbers", "broken quotes"])
def test_check_and_evaluate_refuse_the_same(case: str, run: Run) -> None:
    content, arguments, parts = FILES[case]
    Path("data.csv").write_bytes(content)
    said = run("check", "data.csv", *arguments)
    assert said.code == 2
    assert all(part in said.stderr for part in parts)


@pytest.mark.parametrize("case", OPTIONS)
def test_check_refuses_the_same_options(case: str, run: Run, tiny_model: Path) -> None:
    arguments, parts = OPTIONS[case]
    Path("data.csv").write_bytes(csv(lines()))
    model = [] if "--model" in arguments else ["--model", str(tiny_model)]
    said = run("check", "data.csv", *model, *arguments)
    assert said.code == 2
    assert all(part in said.stderr for part in parts)


def test_a_missing_file(run: Run) -> None:
    refuse(run, "nowhere.csv", parts=["nowhere.csv"], left=set())
    Path("tickets.csv").write_bytes(csv(lines()))
    refuse(run, "tikets.csv", parts=["tikets.csv", "tickets.csv"], left={"tickets.csv"})


def test_a_truncated_gz(run: Run) -> None:
    whole = gzip.compress(csv(lines(2_000)))
    Path("data.csv.gz").write_bytes(whole[: len(whole) // 2])
    refuse(run, "data.csv.gz", parts=["data.csv.gz", "cut short or damaged"], left={"data.csv.gz"})


def test_the_error_as_json_is_one_object(run: Run, tiny_model: Path) -> None:
    Path("data.csv").write_bytes(FILES["words among numbers"][0])
    said = run("train", "data.csv", "--task", "text-regression", "--json", "--model", tiny_model)
    error = said.json["error"]
    assert (said.code, error["kind"]) == (2, "DataError")
    (problem,) = error["problems"]
    assert (problem["row"], problem["line"], problem["column"]) == (7, 8, "score")
    assert problem["file"].endswith("data.csv")
    option = run("train", "data.csv", "--method", "lroa", "--json").json["error"]
    assert (option["kind"], option["fix"]) == ("OptionError", "Did you mean 'lora'?")
    usage = run("train", "data.csv", "--metod", "lora", "--json")
    assert usage.code == 2
    assert "--metod" in usage.json["error"]["message"]
    assert "--method" in usage.stderr
    assert set(usage.json["error"]) == {"kind", "message", "fix"}


def test_all_wrong_values_are_named_before_the_data_is_read(run: Run) -> None:
    said = run("train", "data.csv", "--set", "epochs=-1", "--set", "schedule=cosin", "--set", "rank=none")
    assert said.code == 2
    assert all(part in said.stderr for part in ("'epochs'", "'schedule'", "'rank'"))
    assert "data.csv" not in said.stderr


def test_a_fault_of_our_own_is_a_failed_run_and_still_one_object(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr("tunesmith.workflows.catalogues.runs", broken)
    said = run("runs", "--json")
    assert said.code == 3
    assert said.json == {"error": {"kind": "RuntimeError", "message": "nobody thought of this", "fix": None}}
    assert "Traceback" in said.stderr
    assert "fault of Tunesmith" in said.stderr
    monkeypatch.setattr("tunesmith.workflows.catalogues.runs", _interrupted)
    said = run("runs", "--json")
    assert (said.code, said.json["error"]["kind"]) == (130, "Stopped")


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


# models


def test_a_model_folder_with_pickles_only(run: Run, tiny_model: Path) -> None:
    Path("data.csv").write_bytes(csv(lines()))
    shutil.copytree(tiny_model, "model")
    Path("model/model.safetensors").rename("model/pytorch_model.bin")
    left = {"data.csv", "model", *(str(path) for path in Path("model").iterdir())}
    parts = ["pytorch_model.bin", "pickle", "Convert it once"]
    refuse(run, "data.csv", "--model", "model", parts=parts, left=left)


def test_a_model_that_is_cut_short(run: Run, tiny_model: Path) -> None:
    Path("data.csv").write_bytes(csv(lines()))
    shutil.copytree(tiny_model, "model")
    os.truncate("model/model.safetensors", 5_000)
    left = {"data.csv", "model", *(str(path) for path in Path("model").iterdir())}
    refuse(run, "data.csv", "--model", "model", parts=["model.safetensors", "not a whole"], left=left)


@pytest.mark.parametrize("name", ["bert-base", "someone/some-model"])
def test_a_hub_that_is_not_reached(name: str, run: Run, minilm: Path) -> None:
    Path("data.csv").write_bytes(csv(lines()))
    parts = ["hub can not be reached", "Models on this machine: minilm", "local folder with --model"]
    refuse(run, "data.csv", "--model", name, parts=parts, left={"data.csv"})


# folders


@pytest.fixture
def frozen_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody may write to, root neither."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    folder.chmod(0o500)
    if not os.geteuid():
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", folder], check=False)
        if done.returncode:
            pytest.skip("nothing can be mounted here")
    yield folder
    if not os.geteuid():
        subprocess.run(["umount", "-l", folder], check=False)
    folder.chmod(0o700)


def test_a_folder_that_can_not_be_written_to(run: Run, frozen_folder: Path) -> None:
    Path("data.csv").write_bytes(csv(lines()))
    said = run("train", "data.csv", "--out", frozen_folder / "run")
    assert said.code == 2
    assert f"Can not write to the folder {frozen_folder / 'run'}" in said.stderr
    assert "--out" in said.stderr
    assert list(frozen_folder.iterdir()) == []


def test_a_folder_below_a_file(run: Run) -> None:
    Path("data.csv").write_bytes(csv(lines()))
    refuse(run, "data.csv", "--out", "data.csv/run", parts=["data.csv/run", "--out"], left={"data.csv"})
    refuse(run, "data.csv", "--out", "data.csv", parts=["--out data.csv is a file"], left={"data.csv"})


def test_a_folder_that_is_used(run: Run) -> None:
    Path("data.csv").write_bytes(csv(lines()))
    Path("used").mkdir()
    Path("used/mine.txt").write_text("precious")
    parts = ["The folder used is already used", "--out"]
    refuse(run, "data.csv", "--out", "used", parts=parts, left={"data.csv", "used", "used/mine.txt"})


@pytest.mark.story
def test_a_folder_where_something_went_wrong_can_be_used_again(run: Run, quick: list[Any]) -> None:
    Path("data.csv").write_bytes(csv(lines(40)))
    assert run("train", "data.csv", *quick, "--out", "run", "--target", "lable").code == 2
    assert run("train", "data.csv", *quick, "--out", "run", "--target", "label").code == 0
    assert RunFolder("run").status() == "finished"


def test_a_disk_too_full_for_two_checkpoints(run: Run, quick: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data.csv").write_bytes(csv(lines(40)))
    real = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type(real)(10**9, 10**9 - 50_000, 50_000))
    refuse(run, "data.csv", *quick, parts=["0.1 MB free", "two checkpoints need", "--out"], left={"data.csv"})


# the other verbs


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["predict", "nowhere", "text"], "nowhere"),
        (["predict", "."], "Give texts, or --data with --out"),
        (["predict", ".", "a text", "--file", "data.csv"], "Give texts, or --data with --out"),
        (["predict", ".", "--file", "data.csv"], "--data needs --out"),
        (["predict", ".", "a text", "--out", "o.csv"], "--out is for --data"),
        (["evaluate", "nowhere", "--data", "data.csv"], "nowhere"),
        (["resume", "nowhere"], "nowhere does not exist"),
        (["show", "."], "holds no run"),
        (["trian", "data.csv"], "train"),
        (["train"], "DATA is missing"),
    ],
)
def test_the_other_verbs_complain_as_clearly(arguments: list[str], part: str, run: Run) -> None:
    Path("data.csv").write_bytes(csv(lines()))
    said = run(*arguments)
    assert said.code == 2
    assert part in said.stderr
    assert "Traceback" not in said.stderr
    found = run(*arguments, "--json")
    assert found.code == 2
    assert found.json["error"]["message"]


@pytest.mark.story
def test_predict_and_evaluate_need_the_columns_of_the_training(run: Run, quick: list[Any]) -> None:
    Path("data.csv").write_bytes(csv(lines(40)))
    assert run("train", "data.csv", *quick, "--out", "run").code == 0
    Path("other.csv").write_bytes(b"body,label\nhello,a\n")
    for arguments in (["predict", "run", "--file", "other.csv", "--out", "o.csv"],
                      ["evaluate", "run", "--data", "other.csv"]):  # fmt: skip
        said = run(*arguments)
        assert said.code == 2
        assert "other.csv, column 'text': there is no such column" in said.stderr
        assert "body" in said.stderr
    Path("other.csv").write_bytes(b"text,label\nhello,c\nhello,a\n")
    said = run("evaluate", "run", "--data", "other.csv")
    assert said.code == 2
    assert "other.csv, row 1, column 'label'" in said.stderr
    assert "'c'" in said.stderr
    Path("other.csv").write_bytes(b"text,label\nhello,a\n ,a\n")
    said = run("evaluate", "run", "--data", "other.csv")
    assert said.code == 2
    assert "other.csv, row 2, column 'text': the text is missing" in said.stderr
    Path("other.csv").write_bytes(b"text,label\n,a\n ,a\n")
    said = run("predict", "run", "--file", "other.csv", "--out", "o.csv")
    assert said.code == 2
    assert "other.csv, column 'text': no row has a text" in said.stderr
    for out, part in (("o.xls", ".csv, .tsv, .xlsx, .jsonl, .parquet"), ("no/o.csv", "does not exist")):
        said = run("predict", "run", "--file", "other.csv", "--out", out)
        assert said.code == 2
        assert part in said.stderr
    assert not Path("o.csv").exists()


def test_a_spec_that_is_none(run: Run) -> None:
    refuse(run, "no-such.yaml", parts=["no-such.yaml: can not be read: No such file"], left=set())
    Path("spec.yaml").write_text("just words\n")
    refuse(run, "spec.yaml", parts=["spec.yaml"], left={"spec.yaml"})
    Path("spec.yaml").write_text(json.dumps({"data": "x.csv", "methd": "full"}))
    refuse(run, "spec.yaml", parts=["'methd'", "Did you mean 'method'?"], left={"spec.yaml"})
    Path("spec.yaml").write_text("method: full\n")
    refuse(run, "spec.yaml", parts=["'data'"], left={"spec.yaml"})
