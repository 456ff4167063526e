"""Several runs that answer one question: which settings, methods, seeds. Each is an ordinary run.

A run that begins with a study (effort=best) reaches it by name, through `core.registry`.
"""

TABLE = {"best-effort": "tunesmith.studies.effort_best:settle"}
