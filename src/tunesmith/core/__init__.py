"""Words that every part shares: spec, options, registry, events, run folder, errors.

Nothing in here imports torch, so that the command line answers at once.
"""
