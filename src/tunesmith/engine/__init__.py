"""The machinery of one run: the loop, batches, frozen features, optimizer, checkpoints, hardware."""
