"""Rows before they are tensors: read, guess columns, clean, split, check for leaks, account for each row.

Never imports torch; knows nothing of tokens or models.
"""
