"""What is learned: one file a task."""

TABLE = {
    "text-classification": "tunesmith.tasks.text_classification:TextClassification",
    "text-regression": "tunesmith.tasks.text_regression:TextRegression",
}
