"""What is learned: one file a task."""

PROTOCOLS = ("tunesmith.engine.protocols:PredictiveTask", "tunesmith.engine.protocols:GenerativeTask")
"""One a family, the first that of a task which names none."""

TABLE = {
    "text-classification": "tunesmith.tasks.text_classification:TextClassification",
    "text-regression": "tunesmith.tasks.text_regression:TextRegression",
    "image-classification": "tunesmith.tasks.image_classification:ImageClassification",
    "image-regression": "tunesmith.tasks.image_regression:ImageRegression",
    "object-detection": "tunesmith.tasks.object_detection:ObjectDetection",
    "image-segmentation": "tunesmith.tasks.image_segmentation:ImageSegmentation",
    "token-classification": "tunesmith.tasks.token_classification:TokenClassification",
    "question-answering": "tunesmith.tasks.question_answering:QuestionAnswering",
    "embedding": "tunesmith.tasks.embedding:Embedding",
    "reranking": "tunesmith.tasks.reranking:Reranking",
    "chat": "tunesmith.tasks.chat:Chat",
    "preference": "tunesmith.tasks.preference:Preference",
    "seq2seq": "tunesmith.tasks.seq2seq:Seq2Seq",
}
