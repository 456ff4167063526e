"""What happens around a training step: one file a callback, any number per run."""

TABLE = {
    "early-stopping": "tunesmith.callbacks.early_stopping:EarlyStopping",
    "tensorboard": "tunesmith.callbacks.tensorboard:TensorBoard",
}
