"""Pre-trained parts: the catalogue, safe loading, pooling and heads, blocks, estimates."""

import logging

# peft imports it where it is installed, and it then tells of kernels that it would download: they are not wanted
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
