"""What happens around a training step: one file a callback, any number per run."""

PROTOCOLS = ("tunesmith.engine.setup:Callback",)

TABLE = {
    "early-stopping": "tunesmith.callbacks.early_stopping:EarlyStopping",
    "tensorboard": "tunesmith.callbacks.tensorboard:TensorBoard",
    "ema": "tunesmith.callbacks.ema:Ema",
    "rehearsal": "tunesmith.callbacks.rehearsal:Rehearsal",
    "ewc": "tunesmith.callbacks.ewc:Ewc",
    "l2sp": "tunesmith.callbacks.l2sp:L2sp",
    "distill": "tunesmith.callbacks.distill:Distill",
    "interpolate": "tunesmith.callbacks.interpolate:Interpolate",
}
