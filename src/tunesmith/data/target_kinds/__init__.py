"""Kinds of target beside labels and numbers, one a file: how their column is found and read (`data.target_kind`)."""

TABLE: dict[str, str] = {
    "boxes": "tunesmith.data.target_kinds.boxes:BoxKind",
    "mask": "tunesmith.data.target_kinds.mask:Masks",
    "answers": "tunesmith.data.target_kinds.answers:Answers",
    "spans": "tunesmith.data.target_kinds.spans:Spans",
    "relevance": "tunesmith.data.target_kinds.relevance:Relevance",
}
