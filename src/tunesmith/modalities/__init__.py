"""What a row is made of, one kind of input a file."""

TABLE = {
    "text": "tunesmith.modalities.text:Text",
    "image": "tunesmith.modalities.image:Image",
    "question": "tunesmith.modalities.question:Question",
    "tokens": "tunesmith.modalities.tokens:Tokens",
}
PROTOCOLS = ("tunesmith.engine.modality:Modality",)
