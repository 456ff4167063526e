"""Pre-trained parts: the catalogue, safe loading, pooling and heads, blocks, estimates."""
