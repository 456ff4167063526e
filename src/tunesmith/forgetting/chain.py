"""The runs that a run continues, the first task first, and what of them is retained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.core.run import RunFolder, is_run
from tunesmith.core.spec import RunSpec, Words
from tunesmith.evaluate import forgetting
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.models.additions import adapter_config
from tunesmith.models.virtual import can_merge
from tunesmith.runs.family import family_of


def check(spec: RunSpec, family: str) -> None:
    """What makes no sense, before anything is computed. `family`: the one of the run.

    Raises OptionError, FolderError (a run that is not there or not finished), DataError (no such file).
    """
    given = {"--retain": spec.retain, "--continue-from": spec.continue_from, "--forget-at-most": spec.forget_at_most}
    asked = [flag for flag, value in given.items() if value is not None]
    if asked and spec.method == "scratch":  # the one method that throws away what there was
        raise OptionError(
            f"{asked[0]} with --method scratch: it begins with random weights, which know nothing to be kept.",
            "Use another method, such as full.",
        )
    earlier = Path(spec.continue_from) if spec.continue_from else None
    if earlier and not is_run(earlier) and (earlier / "config.json").exists():
        raise OptionError(
            f"--continue-from {earlier} is a model, and not the run that it came from.",
            f"Train on it with --model {earlier}, which keeps its template and tokens, or give the run's folder.",
        )
    for path in retained_paths(spec):
        if is_run(path):
            finished_run(path, family)
        elif not path.exists():
            raise DataError(Problem("no such file or run", file=str(path)), "Correct the path given to --retain.")


def finished_run(path: Path, family: str) -> RunFolder:
    """A finished run of that family. Raises FolderError, OptionError."""
    run = RunFolder.open(path)
    run.load_metrics()
    if (other := family_of(run.load_spec())) != family:
        does, would = (registry.get("families", name).gives for name in (other, family))
        raise OptionError(f"The run {path} {does}, and this one {would}.", "Give a run of the same kind.")
    return run


def base_name(spec: RunSpec) -> str:
    """The name of the base model: the run that is continued, or what was asked for. Raises OptionError."""
    if spec.continue_from is None:
        return spec.model
    if spec.model not in ("auto", spec.continue_from):
        raise OptionError(
            f"--continue-from {spec.continue_from} starts from the model of that run, so --model {spec.model} "
            "can not be had as well.",
            "Leave one of them out.",
        )
    return spec.continue_from


def earlier(spec: RunSpec) -> list[RunFolder]:
    """The runs that this one continues, the first task first."""
    chain: list[RunFolder] = []
    while spec.continue_from is not None:
        chain.insert(0, RunFolder.open(spec.continue_from))
        spec = chain[0].load_spec()
    return chain


def retained_paths(spec: RunSpec) -> list[Path]:
    """Every file or run that is retained, once, those of the chain first."""
    chain = [run.path.resolve() for run in earlier(spec)]
    return list(dict.fromkeys([*chain, *(Path(name).resolve() for name in spec.retain or [])]))


def stands_apart(path: Path) -> bool:
    """Whether what a run that writes text has learned can not become part of its base's weights."""
    return bool(additions(path)) and not can_merge(path / "model")


def additions(path: Path) -> Words:
    """PEFT's description of what lies beside the base in a run's model; empty where nothing does."""
    return adapter_config(path / "model")


def beside_only(path: Path, method: str, fitting: Sequence[str]) -> OptionError:
    """What is wrong with `method` for a run that can not become part of its base's weights."""
    return OptionError(
        f"The run {path} keeps what it learned in an adapter beside its base, which --method {method} would move "
        "from under it.",
        f"Learn the next task beside the same base: --method {', '.join(fitting[:-1])} or {fitting[-1]}.",
    )


def matrix(
    chain: Sequence[RunFolder], found: Sequence[Words], own: tuple[str, str, float | None],
) -> Words:  # fmt: skip
    """Row i: the metric of every task up to i after stage i, on the test rows of each."""
    documents = [run.load_metrics() for run in chain]
    names = [*(document["first_metric"] for document in documents), own[1]]
    first = documents[0]["test"].get(names[0], {"value": None})["value"]
    before = documents[-1].get("forgetting", {}).get("matrix", {}).get("values", [[first]])
    values = [*before, [*(one["after"] for one in found[: len(chain)]), own[2]]]
    matrix = {"tasks": [*(run.name for run in chain), own[0]], "metrics": names, "values": values}
    return {"matrix": matrix, **forgetting.of_sequence(values, [higher_is_better(name) for name in names])}
