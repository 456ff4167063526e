"""What a forward pass gives: an answer for each row, or text. A family knows the stages of a run that differ by it.

A run reaches its family by name, through `core.registry`, so that nothing points up.
"""

TABLE = {
    "predictive": "tunesmith.families.predictive.family:Predictive",
    "generative": "tunesmith.families.generative.family:Generative",
    # names that plugins of earlier versions give
    "rows": "tunesmith.families.predictive.family:Predictive",
    "language": "tunesmith.families.generative.family:Generative",
}
