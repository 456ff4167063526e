"""Damaged and hostile files of every kind that is read: refused in words or read, within ten seconds and a gigabyte,
and without a file touched elsewhere.

200 cases in the fast tests, 2,000 with the slow ones; always the same ones. TUNESMITH_FUZZ=5000 tries others.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import language_models
from damage import VALUES, damaged_bytes, damaged_json
from fuzz_worker import Worker
from tunesmith.core import events
from tunesmith.core.files import scratch
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec

ROWS = [{"text": f"the card {n} is {'lost' if n % 2 else 'good'}, thanks", "label": "ab"[n % 2]} for n in range(24)]
CSV = ("text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in ROWS)).encode()
TALKS = [
    {"messages": [{"role": "user", "content": f"hi {n}"}, {"role": "assistant", "content": "hello"}]} for n in range(12)
]
SPEC = RunSpec(
    data="x.csv", text=["text"], target=["label"], retain=["y.csv"], options={"epochs": 2, "label_map": {"a": "b"}}
)
METRICS = {
    "task": "text-classification", "model": "m", "method": "head",
    "first_metric": "f1", "test": {"f1": {"value": 0.5, "low": 0.4, "high": 0.6}}, "baselines": {},
    "verdict": {"outcome": "better", "sentence": "better: by much"}, "findings": [],
    "cost": {"wall_seconds": 1.0, "peak_memory_bytes": 1, "trainable_parameters": 5},
}  # fmt: skip
TEMPLATES = [
    language_models.CHATML.encode(),
    b"{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token }}{% endfor %}",
    b"{% set x = (9**(9**9)) % 7 %}{{ x }}", b"{% for i in range(10**9) %}{{ i }}{% endfor %}",
    b"{{ ''.__class__.__mro__[1].__subclasses__() }}", b"{{ 'a' * 10**10 }}",
    b"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    b"{{ messages|map(attribute='content')|join('x') }}{{ raise_exception('no') }}",
    b"{{ namespace(a=1) }}{{ cycler() }}",
]  # fmt: skip


# --- What is done with a case, in the worker -----------------------------------------------------


def read_table(folder: Path, name: str, content: bytes) -> None:
    from tunesmith.data.conversations.peek import peek
    from tunesmith.data.prepare import prepare
    from tunesmith.data.types import SplitOptions

    path = folder / name
    path.write_bytes(content)
    if (form := peek(str(path))) is not None and form.form != "text":
        from tunesmith.data.conversations.read import read_examples

        read_examples(str(path), emit=events.ignore, cache_dir=folder)
        return
    prepare(str(path), options=SplitOptions(), seed=0, emit=events.ignore, cache_dir=folder / "cache")


def read_spec(folder: Path, content: bytes) -> None:
    (folder / "spec.yaml").write_bytes(content)
    spec = RunSpec.load(folder / "spec.yaml")
    assert RunSpec.make(spec.words()) == spec


def read_run(folder: Path, name: str, content: bytes) -> None:
    from tunesmith.cli import show
    from tunesmith.cli.arguments import print_document
    from tunesmith.runs import identity
    from tunesmith.workflows import catalogues

    run = RunFolder.create(folder / "runs" / "run", "data")
    run.spec.write_text(SPEC.dump())
    (run.checkpoints / "step-00000001").mkdir()
    for file, sound in (("metrics.json", METRICS), ("data/fingerprint.json", {"sha256": "a"})):
        (run.path / file).write_text(json.dumps(sound))
    (run.path / name).write_bytes(content)
    rows = catalogues.runs(folder / "runs")
    assert len(rows) == 1
    show.runs({"runs": rows})
    print_document(catalogues.run(run.path), False, show.run, run.path)
    identity.check_data(run, "x.csv", "a")


def read_base(folder: Path, source: Path, name: str, content: bytes) -> None:
    from tunesmith.models.loaders.encoder import load_text_base

    copy = shutil.copytree(source, folder / "base")
    (copy / name).write_bytes(content)
    load_text_base(str(copy), label_names=["a", "b"], problem_type="single_label_classification", dropout=0.0)


def read_language(folder: Path, source: Path, name: str, content: bytes) -> None:
    from tunesmith.models.loaders.language import load_language_base

    copy = shutil.copytree(source, folder / "base")
    (copy / name).write_bytes(content)
    load_language_base(str(copy), kind="causal")


def read_finished(folder: Path, source: Path, name: str, content: bytes) -> None:
    from tunesmith.runs.load import load

    copy = shutil.copytree(source, folder / "model")
    (copy / name).write_bytes(content)
    load(copy)


def read_template(folder: Path, source: Path, content: bytes) -> None:
    from tunesmith.models.chat_template import TemplateEncoder
    from tunesmith.models.loaders.language import load_language_tokenizer

    copy = shutil.copytree(source, folder / "base")
    (copy / "chat_template.jinja").write_bytes(content)
    encoder = TemplateEncoder(load_language_tokenizer(copy, "base"))
    encoder.encode([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])


# --- The kinds of cases --------------------------------------------------------------------------


def arrow() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(ROWS)
    found = []
    for make in (pa.ipc.new_file, pa.ipc.new_stream):
        sink = io.BytesIO()
        with make(sink, table.schema) as writer:
            writer.write_table(table)
        found.append(sink.getvalue())
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return [*found, sink.getvalue()]


def headers(path: Path) -> st.SearchStrategy[bytes]:
    """A safetensors file whose header says something else about the same numbers."""
    whole = path.read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    header, numbers = json.loads(whole[8 : 8 + size]), whole[8 + size :]
    return st.one_of(
        damaged_json(header).map(lambda text: struct.pack("<Q", len(text)) + text + numbers),
        damaged_bytes(whole[: 8 + size]).map(lambda start: start + numbers),
    )


def indexes(folder: Path) -> st.SearchStrategy[bytes]:
    keys = ["embeddings.word_embeddings.weight", "pooler.dense.bias", "x"]
    files = st.sampled_from(
        ["model.safetensors", "pytorch_model.bin", "../../x.safetensors", "/etc/passwd", "config.json"]
    )
    sound = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(keys, "model.safetensors")}
    named = st.dictionaries(st.sampled_from(keys), files, min_size=1).map(
        lambda found: json.dumps({"weight_map": found}).encode()
    )
    return st.one_of(damaged_json(sound), named)


def cases(base: Path, language: Path, adapted: Path) -> dict[str, tuple[Callable[..., None], st.SearchStrategy[Any]]]:
    """Kind -> what is done with a case, and its content: a name of a file and bytes, or bytes alone."""

    def document(folder: Path, name: str) -> st.SearchStrategy[tuple[str, bytes]]:
        text = (folder / name).read_bytes()
        return st.tuples(st.just(name), st.one_of(damaged_json(json.loads(text)), damaged_bytes(text)))

    jsonl = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    talks = "".join(json.dumps(row) + "\n" for row in TALKS).encode()
    deep = [{**ROWS[0], "x": json.loads("[" * 400 + "]" * 400)}, *ROWS[1:]]
    log = b'{"event": "step", "step": 1, "steps": 2, "epoch": 0.5, "loss": 1, "learning_rate": 1, "gradient_norm": 1, "rows": 1, "tokens": 1, "seconds": 1}\n'  # noqa: E501
    return {
        "config": (lambda f, c: read_base(f, base, *c), document(base, "config.json")),
        "tokenizer": (lambda f, c: read_base(f, base, *c),
                      st.one_of(document(base, "tokenizer_config.json"), document(base, "tokenizer.json"))),
        "index": (lambda f, c: read_base(f, base, "model.safetensors.index.json", c), indexes(base)),
        "header": (lambda f, c: read_base(f, base, "model.safetensors", c), headers(base / "model.safetensors")),
        "adapter": (lambda f, c: read_finished(f, adapted, *c),
                    st.one_of(document(adapted, "adapter_config.json"), document(adapted, "tunesmith.json"),
                              headers(adapted / "adapter_model.safetensors").map(
                                  lambda content: ("adapter_model.safetensors", content)))),
        "language": (lambda f, c: read_language(f, language, *c),
                     st.one_of(document(language, "config.json"), document(language, "generation_config.json"))),
        "template": (lambda f, c: read_template(f, language, c), damaged_bytes(*TEMPLATES)),
        "yaml": (read_spec, damaged_bytes(SPEC.dump().encode(), b"data: &a x.csv\nretain: [*a, *a]\nseed: 1\n")),
        "csv": (lambda f, c: read_table(f, *c),
                st.tuples(st.sampled_from(["a.csv", "a.tsv", "a.txt"]), damaged_bytes(CSV, CSV.replace(b",", b";")))),
        "json": (lambda f, c: read_table(f, *c),
                 st.one_of(st.tuples(st.just("a.jsonl"), damaged_bytes(jsonl, talks)),
                           st.tuples(st.just("a.json"), damaged_json(ROWS)),
                           st.tuples(st.just("a.json"), damaged_json(deep)),
                           st.tuples(st.just("a.json"), damaged_json(TALKS)),
                           st.tuples(st.just("a.json"), damaged_bytes(json.dumps({"data": ROWS}).encode())))),
        "arrow": (lambda f, c: read_table(f, *c),
                  st.one_of(*[st.tuples(st.just(name), damaged_bytes(content))
                              for name, content in zip(("a.arrow", "a.arrow", "a.parquet"), arrow(), strict=True)])),
        "gz": (lambda f, c: read_table(f, *c),
               st.tuples(st.sampled_from(["a.csv.gz", "a.csv", "a.jsonl.gz"]),
                         damaged_bytes(gzip.compress(CSV, mtime=0), gzip.compress(b"a" * 10_000_000, mtime=0)))),
        "run": (lambda f, c: read_run(f, *c),
                st.one_of(st.tuples(st.just("metrics.json"), damaged_json(METRICS)),
                          st.tuples(st.just("spec.yaml"), damaged_bytes(SPEC.dump().encode())),
                          st.tuples(st.just("result.json"), VALUES.map(lambda value: json.dumps(value).encode())),
                          st.tuples(st.just("events.jsonl"), damaged_bytes(log * 3)),
                          st.tuples(st.just("data/fingerprint.json"), damaged_json({"sha256": "a"})))),
    }  # fmt: skip


KINDS = ("config", "tokenizer", "index", "header", "adapter", "language", "template", "yaml", "csv", "json", "arrow",
         "gz", "run")  # fmt: skip
FAST, ALL = 200, 2_000
OTHERS = int(os.environ.get("TUNESMITH_FUZZ", "0"))


@pytest.fixture(scope="session")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of a language model saves: a LoRA adapter beside its base."""
    from peft import LoraConfig, get_peft_model

    from tunesmith.models.additions import quiet_peft
    from tunesmith.models.pretrained import fingerprint

    folder, base = tmp_path_factory.mktemp("adapted") / "model", language_models.folder("llama")
    config = LoraConfig(target_modules=["q_proj", "v_proj"], r=2, task_type="CAUSAL_LM")
    with quiet_peft():
        model = get_peft_model(language_models.network("llama"), config)
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(folder)
    language_models.tokenizer("llama").save_pretrained(folder)
    mark = {
        "format": 1, "task": "chat", "network": "causal", "base": str(base), "base_fingerprint": fingerprint(base),
        "base_name": "llama", "quantization": None, "form": "chat", "conversational": True, "prefix": "",
        "max_length": 64, "new_tokens": [],
    }  # fmt: skip
    (folder / "tunesmith.json").write_text(json.dumps(mark))
    return folder


@pytest.fixture(scope="session")
def fuzz(tiny_model: Path, adapted: Path) -> Iterator[Callable[[str, int], None]]:
    known = cases(tiny_model, language_models.folder("llama"), adapted)
    assert set(known) == set(KINDS)
    import tunesmith.workflows.check  # all that is heavy comes before the fork

    assert tunesmith.workflows.check is not None
    with scratch() as home:
        worker = Worker(
            {kind: lambda folder, case, do=do: do(folder, _decoded(case)) for kind, (do, _) in known.items()}, home
        )

        def call(kind: str, count: int) -> None:
            @settings(max_examples=count, derandomize=not OTHERS, database=None, deadline=None,
                      suppress_health_check=list(HealthCheck), print_blob=False)  # fmt: skip
            @given(known[kind][1])
            def holds(case: Any) -> None:
                fault = worker.run((kind, _encoded(case)))
                assert fault is None, fault

            holds()

        yield call
        worker.close()


def _do(do: Callable[..., None], folder: Path, case: Any) -> None:
    do(folder, _decoded(case))


def _encoded(case: Any) -> Any:
    if isinstance(case, tuple):
        return [case[0], base64.b64encode(case[1]).decode()]
    return base64.b64encode(case).decode()


def _decoded(case: Any) -> Any:
    return (case[0], base64.b64decode(case[1])) if isinstance(case, list) else base64.b64decode(case)


def test_sound_files_are_read(tmp_path: Path, tiny_model: Path, adapted: Path) -> None:
    """Else the cases of a kind could all be refused for something that is wrong with all of them."""
    folders = iter(tmp_path / f"{number}" for number in range(10))

    def new() -> Path:
        folder = next(folders)
        folder.mkdir()
        return folder

    language = language_models.folder("llama")
    read_base(new(), tiny_model, "config.json", (tiny_model / "config.json").read_bytes())
    read_language(new(), language, "config.json", (language / "config.json").read_bytes())
    read_finished(new(), adapted, "adapter_config.json", (adapted / "adapter_config.json").read_bytes())
    read_template(new(), language, TEMPLATES[0])
    read_table(new(), "a.csv", CSV)
    read_spec(new(), SPEC.dump().encode())
    read_run(new(), "metrics.json", json.dumps(METRICS).encode())


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(fuzz: Callable[[str, int], None], kind: str) -> None:
    fuzz(kind, -(-FAST // len(KINDS)))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(fuzz: Callable[[str, int], None], kind: str) -> None:
    fuzz(kind, -(-(OTHERS or ALL) // len(KINDS)))


def test_the_worker_finds_what_is_wrong(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    kinds: dict[str, Callable[[Path, Any], Any]] = {
        "fine": lambda folder, case: (folder / "x").write_text("x"),
        "raises": lambda folder, case: {}["x"],
        "eats": lambda folder, case: len(bytearray(2 << 30)),
        "writes": lambda folder, case: elsewhere.write_text("x"),
        "dies": lambda folder, case: os.abort(),
        "hangs": lambda folder, case: sum(1 for _ in iter(int, 1)),
    }
    worker = Worker(kinds, home, seconds=1)
    wrong = {"raises": "KeyError", "eats": "MemoryError", "writes": "outside", "dies": "died", "hangs": "no answer"}
    for kind, said in wrong.items():
        assert said in str(worker.run((kind, None)))
        assert worker.run(("fine", None)) is None
    worker.close()
