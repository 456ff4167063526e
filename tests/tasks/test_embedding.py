"""Vectors and scores of texts that belong together, from data to the libraries that people use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import tunesmith
from tunesmith.core.errors import DataError, OptionError
from tunesmith.engine import similarity
from tunesmith.models import tiny
from tunesmith.models.loaders.sentence import load_base
from tunesmith.runs.train import Run
from tunesmith.workflows.predict import predict_file

WORDS = ["card", "parcel", "refund", "app", "order", "screen", "cable", "invoice", "password", "shop", "tyre", "lamp"]
USUAL = {"epochs": 2, "batch_size": 4, "learning_rate": 3e-3, "verbose": False, "seed": 1}


def _rows() -> list[dict[str, object]]:
    return [
        {"query": f"{verb} my {word}", "pos": [f"{verb} {word} page", f"all on {verb} {word}"], "neg": [f"no {word}"]}
        for word in WORDS for verb in ("send", "mend")
    ]  # fmt: skip


def _file(folder: Path, rows: list[dict[str, object]], name: str = "rows.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(folder / name)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("search")
    tiny.encoder(folder / "base")
    corpus = _file(folder, [{"text": f"page {at} on nothing"} for at in range(30)], "corpus.jsonl")
    return tunesmith.train(
        _file(folder, _rows()), task="embedding", model=str(folder / "base"), out=folder / "run", corpus=corpus,
        hard_negatives=1, matryoshka=[16, 8], query_prompt="query: ", **USUAL,
    )  # fmt: skip


@pytest.mark.story
def test_a_search_model_from_lists_of_documents(searched: Run) -> None:
    """Rows of one query stay together; BM25 and the base are judged among the same documents; vectors can be cut."""
    document = searched.document
    assert {"random", "bm25", "base"} == set(document["baselines"])
    assert document["first_metric"] == "ndcg@10"
    splits = tunesmith.load(searched.path)
    page = searched.folder.report.read_text(encoding="utf-8")
    for title in ("What moved", "Sizes of vectors", "Hard negatives"):
        assert f"<h2>{title}</h2>" in page
    model = splits
    vectors = model.encode(["send my card", "mend my lamp"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert model.encode("send my card", size=8).shape == (8,)
    assert model.predict([("send my card", "send card page")])[0]["score"] == pytest.approx(
        model.similarity("send my card", "send card page"), abs=1e-6
    )
    ranked = model.rank("send my card", ["all on mend lamp", "send card page"])
    assert [one["score"] for one in ranked] == sorted((one["score"] for one in ranked), reverse=True)
    with pytest.raises(OptionError, match="size=99"):
        model.encode("x", size=99)


@pytest.mark.story
def test_other_libraries_give_the_same_vectors(searched: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    theirs = sentence_transformers.SentenceTransformer(str(searched.path / "model"), device="cpu")
    texts = ["send my card", "where is it"]
    ours = tunesmith.load(searched.path)
    np.testing.assert_allclose(theirs.encode(texts, prompt_name="query"), ours.encode(texts), atol=1e-6)
    np.testing.assert_allclose(theirs.encode(texts), ours.encode(texts, kind="document"), atol=1e-6)
    assert theirs.similarity_fn_name == "cosine"
    short = sentence_transformers.SentenceTransformer(str(searched.path / "model"), device="cpu", truncate_dim=8)
    cut = short.encode(texts, prompt_name="query", normalize_embeddings=True)
    np.testing.assert_allclose(cut, ours.encode(texts, size=8), atol=1e-5)


@pytest.mark.story
def test_a_reranker_is_a_cross_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.encoder(tmp_path / "base")
    pairs = [{"query": f"send my {word}", "document": f"send {word} page"} for word in WORDS]
    run = tunesmith.train(
        _file(tmp_path, pairs),
        task="reranking",
        model=str(tmp_path / "base"),
        out=tmp_path / "run",
        candidates=3,
        **USUAL,
    )
    assert {"random", "bm25"} == set(run.document["baselines"])
    ours = tunesmith.load(run.path)
    found = ours.rank("send my card", ["send card page", "send lamp page"])
    assert {one["position"] for one in found} == {0, 1}
    sentence_transformers = pytest.importorskip("sentence_transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    theirs = sentence_transformers.CrossEncoder(str(run.path / "model"), device="cpu")
    asked = [("send my card", "send card page"), ("send my card", "send lamp page")]
    np.testing.assert_allclose(theirs.predict(asked), [one["score"] for one in ours.predict(asked)], atol=1e-6)


def test_documents_that_belong_to_a_query_are_no_negatives() -> None:
    """Two rows of one query, and one document that stands twice: each row has but the third as a negative."""
    outputs = torch.eye(8)[[0, 1, 2, 3, 4, 5]].reshape(3, 2, 8)
    targets = torch.tensor([[1, 10, 1, 0], [1, 10, 2, 0], [1, 11, 3, 0]], dtype=torch.float64)
    losses = similarity.in_batch(outputs, targets, 20.0)
    np.testing.assert_allclose(losses.numpy(), np.log([2, 2, 3]), rtol=1e-6)  # all are as unlike as can be
    known = {10.0: np.array([1.0, 2.0, 3.0]), 11.0: np.array([3.0])}
    np.testing.assert_allclose(similarity.in_batch(outputs, targets, 20.0, known).numpy(), [0, 0, np.log(3)], atol=1e-6)


def test_losses_are_those_of_sentence_transformers() -> None:
    """MNRL is a cross-entropy over cosines times 20; CoSENT is log(1 + sum exp(20 (cos_j - cos_i)))."""
    chance = torch.Generator().manual_seed(0)
    outputs = torch.randn(4, 2, 8, generator=chance)
    normal = torch.nn.functional.normalize(outputs, dim=-1)
    targets = torch.tensor([[at / 4, at + 1, at + 11, 0] for at in range(1, 5)], dtype=torch.float64)
    wanted = torch.nn.functional.cross_entropy(20 * normal[:, 0] @ normal[:, 1].T, torch.arange(4), reduction="none")
    np.testing.assert_allclose(similarity.in_batch(outputs, targets, 20.0).numpy(), wanted.numpy(), rtol=1e-5)
    cosines = (normal[:, 0] * normal[:, 1]).sum(1)
    apart = [20 * (cosines[j] - cosines[i]) for i in range(4) for j in range(i)]  # i has the higher score
    wanted = torch.logsumexp(torch.stack([torch.tensor(0.0), *apart]), 0)
    np.testing.assert_allclose(similarity.cosent(outputs, targets, 20.0, by_row=False)[0], wanted, rtol=1e-5)


def test_states_that_are_computed_again_give_the_same_gradients(tmp_path: Path) -> None:
    tiny.encoder(tmp_path)
    model = load_base(str(tmp_path), dropout=0.1).model.train()
    ids = torch.randint(5, 100, (40, 12), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "sides": torch.arange(40).reshape(20, 2)}
    targets = torch.tensor([[1, row + 1, row + 101, 0] for row in range(20)], dtype=torch.float64)
    found = []
    for model.recomputes in (False, True):
        model.zero_grad()
        torch.manual_seed(0)
        similarity.in_batch(model(batch), targets, 20.0).sum().backward()
        found.append([one.grad.clone() for one in model.parameters() if one.grad is not None])
    assert all(torch.equal(kept, again) for kept, again in zip(*found, strict=True))


def test_hard_negatives_leave_out_what_may_be_relevant() -> None:
    documents = similarity.unit(np.array([[1, 0], [0.99, 0.1], [0.7, 0.7], [0, 1]], dtype=np.float32))
    query = documents[:1]
    found = similarity.hard_negatives((query, documents), np.array([0]), lambda row: np.array([0]), 2, 0.05)
    assert found[0].tolist() == [2, 3]  # the second is too much like the query to be wrong
    found = similarity.hard_negatives((query, documents), np.array([0]), lambda row: np.array([0, 2]), 2, 0.0)
    assert found[0].tolist() == [1, 3]


@pytest.mark.parametrize(("rows", "told"), [
    ([{"query": "a b", "document": ""}], "line 13.*the document is empty"),
    ([{"query": "same", "document": "Same!"}], "line 13.*both texts are the same"),
    ([{"query": "a b", "document": "c", "score": 7}], "line 13.*outside of the scale 0 to 1"),
])  # fmt: skip
def test_rows_that_nothing_can_be_learned_from_are_named(
    tmp_path: Path, rows: list[dict[str, object]], told: str
) -> None:
    scored = {"score": 0.5} if "score" in rows[0] else {}
    good: list[dict[str, object]] = [{"query": f"q {word}", "document": f"d {word}", **scored} for word in WORDS]
    for at, row in enumerate(good):
        row |= {"score": at / 12} if scored else {}
    with pytest.raises(DataError, match=told):
        tunesmith.check(_file(tmp_path, good + rows), task="embedding")


def test_a_query_without_documents_and_data_of_one_side(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"query": f"q {word}", "documents": [f"d {word}"]} for word in WORDS]
    rows[4]["documents"] = []
    with pytest.raises(DataError, match=r"line 5.*the query has no document"):
        tunesmith.check(_file(tmp_path, rows), task="embedding")
    rows = [{"query": f"q {word}", "document": f"d {word}", "label": 0} for word in WORDS]
    with pytest.raises(DataError, match="nothing belongs together"):
        tunesmith.check(_file(tmp_path, rows), task="reranking")


@pytest.mark.story
def test_vectors_of_a_file(searched: Run, tmp_path: Path) -> None:
    """Queries or documents alone give vectors, as a table or as an array; both columns give a score each."""
    (tmp_path / "queries.csv").write_text("query\nsend my card\nmend my lamp\n", encoding="utf-8")
    (tmp_path / "documents.csv").write_text("pos\nsend card page\n", encoding="utf-8")
    model = tunesmith.load(searched.path)
    assert predict_file(model, tmp_path / "queries.csv", tmp_path / "q.npy", size=8) == 2
    found = np.load(tmp_path / "q.npy")
    np.testing.assert_allclose(found, model.encode(["send my card", "mend my lamp"], size=8), atol=1e-6)
    predict_file(model, tmp_path / "documents.csv", tmp_path / "d.npy")
    np.testing.assert_allclose(
        np.load(tmp_path / "d.npy")[0], model.encode("send card page", kind="document"), atol=1e-6
    )
    (tmp_path / "both.csv").write_text("query,pos\nsend my card,send card page\n", encoding="utf-8")
    with pytest.raises(OptionError, match="an array is for vectors"):
        predict_file(model, tmp_path / "both.csv", tmp_path / "b.npy")
