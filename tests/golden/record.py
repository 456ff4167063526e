"""What runs of every kind leave behind, as hashes: the net under changes that must change nothing.

    python tests/golden/record.py              compare with golden.json
    python tests/golden/record.py label chat   only these runs
    python tests/golden/record.py --write      record it anew: say in the commit why it changed

Kernels are held to what every x86 processor has, so that the bits of one are those of another; other versions of
torch, numpy or transformers may have others, which is why they are recorded.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATH = [HERE.parents[1] / "src", HERE.parent / "support"]
CPU = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Read by the libraries when they are loaded."""


if __name__ == "__main__":
    program = [sys.executable, "-m", "golden_runs", str(HERE / "golden.json"), *sys.argv[1:]]
    os.execve(sys.executable, program, {**os.environ, **CPU, "PYTHONPATH": os.pathsep.join(map(str, PATH))})
