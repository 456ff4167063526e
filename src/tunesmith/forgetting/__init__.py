"""What a model knew before and must not lose: measured before and after, held while it trains. Knows no family."""
