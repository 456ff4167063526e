"""The verbs of the Python API, one a file; each reads as the list of its steps."""
