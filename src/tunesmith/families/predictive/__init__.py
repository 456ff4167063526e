"""An answer for each row: a label, several labels, a number."""
