"""What a row is made of, one kind of input a file."""

TABLE = {
    "text": "tunesmith.modalities.text:Text",
    "image": "tunesmith.modalities.image:Image",
    "question": "tunesmith.modalities.question:Question",
    "pairs": "tunesmith.modalities.pairs:Pairs",
    "tokens": "tunesmith.modalities.tokens:Tokens",
}
PROTOCOLS = ("tunesmith.engine.modality:Modality",)
