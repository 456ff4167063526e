"""Saved models as another process reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

# transformers asks PEFT for the type of what lies beside a base; the import teaches it ours
_PLAIN = """
import sys, json, torch
import tunesmith.models.{teacher}
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, texts = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
with torch.no_grad():
    logits = model(**AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")).logits
print(json.dumps(logits.softmax(-1).tolist()))
"""
_OURS = """
import sys, json, tunesmith
print(json.dumps(tunesmith.load(sys.argv[1]).probabilities(json.loads(sys.argv[2])).tolist()))
"""


def by_transformers(model: Path, texts: list[str], teacher: str) -> np.ndarray:
    """Probabilities [texts, labels] that plain transformers gives; `teacher` is the module with the type."""
    return _answer(_PLAIN.format(teacher=teacher), model, texts)


def by_tunesmith(model: Path, texts: list[str]) -> np.ndarray:
    """Probabilities [texts, labels] that our own loading gives."""
    return _answer(_OURS, model, texts)


def _answer(code: str, model: Path, texts: list[str]) -> np.ndarray:
    command = [sys.executable, "-W", "ignore", "-c", code, str(model), json.dumps(texts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return np.array(json.loads(done.stdout))
