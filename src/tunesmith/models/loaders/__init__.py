"""Networks into memory, one kind of network a file: what fits, base models and finished ones, and what is saved."""

TABLE = {
    "encoder": "tunesmith.models.loaders.encoder:Encoder",
    "reader": "tunesmith.models.loaders.reader:Reader",
    "words": "tunesmith.models.loaders.words:Words",
    "sentence": "tunesmith.models.loaders.sentence:Sentence",
    "causal": "tunesmith.models.loaders.language:Causal",
    "seq2seq": "tunesmith.models.loaders.language:Seq2Seq",
    "detection": "tunesmith.models.loaders.detection:Detection",
    "segmentation": "tunesmith.models.loaders.segmentation:Segmentation",
    "vision": "tunesmith.models.loaders.vision:Vision",
}
