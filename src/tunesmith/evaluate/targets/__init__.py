"""What is learned of a row, a file each: how it is read, decoded, measured and written (`engine.target.Target`)."""

TABLE = {
    "label": "tunesmith.evaluate.targets.label:Label",
    "labels": "tunesmith.evaluate.targets.labels:Labels",
    "mask": "tunesmith.evaluate.targets.mask:MaskTarget",
    "spans": "tunesmith.evaluate.targets.spans:Spans",
    "boxes": "tunesmith.evaluate.targets.boxes:BoxTarget",
    "answers": "tunesmith.evaluate.targets.answers:Answers",
    "relevance": "tunesmith.evaluate.targets.relevance:Relevance",
    "number": "tunesmith.evaluate.targets.number:Number",
}
