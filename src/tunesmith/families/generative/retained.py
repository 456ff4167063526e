"""The files and runs that a run which writes text must not forget, read before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.events import ignore
from tunesmith.core.run import is_run
from tunesmith.core.spec import RunSpec
from tunesmith.engine.protocols import GenerativeTask
from tunesmith.families.generative.corpus import Corpus, read_corpus
from tunesmith.forgetting import chain


@dataclass(frozen=True)
class Read:
    """A retained file or run as examples."""

    path: Path
    is_run: bool
    spec: RunSpec
    corpus: Corpus

    @property
    def fingerprint(self) -> str:
        return self.corpus.fingerprint


def read(spec: RunSpec, kind: str) -> list[Read]:
    """Everything that is retained, so that faults in it are told before anything is computed; `kind` of network.
    Raises DataError, OptionError."""
    return [_read(spec, path, kind) for path in chain.retained_paths(spec)]


def _read(own: RunSpec, path: Path, kind: str) -> Read:
    run = chain.finished_run(path, "generative") if is_run(path) else None
    spec = run.load_spec() if run else RunSpec(data=str(path), seed=own.seed)
    corpus = read_corpus(spec, ignore)
    if task_for(corpus.examples.form, kind) is None:
        raise OptionError(
            f"--retain {path} is of the form {corpus.examples.form!r}, which has no token loss that this model could "
            "keep.", "Retain text, conversations or completions; for an encoder-decoder, pairs.",
        )  # fmt: skip
    return Read(path, run is not None, spec, corpus)


def task_for(form: str, kind: str) -> type[GenerativeTask] | None:
    """The task that learns such examples token by token with such a network, None where there is none."""
    plugin: type[GenerativeTask]
    for plugin in registry.usable("tasks").values():
        if form in plugin.forms and plugin.network == kind and plugin.sequences_per_item == 1:
            return plugin
    return None
