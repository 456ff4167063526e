"""The finished model of each family, apart from how it is trained: what only answers is ready sooner."""

TABLE = {
    "predictive": "tunesmith.families.predictive.predictor:Model",
    "generative": "tunesmith.families.generative.predictor:TextGenerator",
}
