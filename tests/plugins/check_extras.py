"""The suite of Tunesmith on this package: `pytest check_extras.py`."""

from tunesmith.testing import conformance

test_extras = conformance(["text-ordinal", "series-classification"], ["last-block"], ["shout"])
