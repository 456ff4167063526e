"""A package of its own, as an outsider writes one: a task, a method and a callback, found by their entry points."""
