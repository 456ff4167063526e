"""The finished model of each family, apart from how it is trained: what only answers is ready sooner."""

TABLE = {
    "predictive": "tunesmith.families.predictive.predictor:Model",
    "embedding": "tunesmith.families.predictive.embedding_model:EmbeddingModel",
    "reranking": "tunesmith.families.predictive.reranking_model:RerankingModel",
    "generative": "tunesmith.families.generative.predictor:TextGenerator",
}
