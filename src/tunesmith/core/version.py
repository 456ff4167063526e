"""The version of this package, also in pyproject.toml."""

VERSION = "0.1.0"
