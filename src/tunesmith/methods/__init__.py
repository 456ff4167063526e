"""Which weights move: one file a method, exactly one per run."""

TABLE = {
    "full": "tunesmith.methods.full:Full",
    "head": "tunesmith.methods.head:Head",
    "lora": "tunesmith.methods.lora:Lora",
}
