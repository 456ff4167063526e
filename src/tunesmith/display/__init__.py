"""How events and results look: on a terminal, at a Python prompt, in a notebook. Knows no run and no model."""
