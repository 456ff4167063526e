"""Which weights move: one file a method, exactly one per run."""

PROTOCOLS = ("tunesmith.engine.protocols:Method",)

TABLE = {
    "full": "tunesmith.methods.full:Full",
    "head": "tunesmith.methods.head:Head",
    "contrastive": "tunesmith.methods.contrastive:Contrastive",
    "lora": "tunesmith.methods.lora:Lora",
    "qlora": "tunesmith.methods.lora:Qlora",
    "adapters": "tunesmith.methods.adapters:Adapters",
    "progressive": "tunesmith.methods.progressive:Progressive",
    "gradual": "tunesmith.methods.gradual:Gradual",
    "ia3": "tunesmith.methods.ia3:IA3",
    "bitfit": "tunesmith.methods.bitfit:BitFit",
    "prefix": "tunesmith.methods.prefix:Prefix",
    "prompt": "tunesmith.methods.prompt:Prompt",
    "scratch": "tunesmith.methods.scratch:Scratch",
}
