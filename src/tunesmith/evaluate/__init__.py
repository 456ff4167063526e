"""What the numbers mean: metrics with intervals, baselines, verdict, diagnosis, report and model card.

Numpy arrays in, numbers and pages out; nothing here knows of torch, of a model or of a run folder.
"""
