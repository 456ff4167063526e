"""One run: what is settled before it, what happens in it, what is left of it. Knows no family."""
