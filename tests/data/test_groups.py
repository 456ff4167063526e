"""Pictures of one patient, camera or document stay together, where that is asked by a column or by names of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tunesmith
from tunesmith.core.errors import DataError
from tunesmith.data.groups import named_in


@pytest.mark.parametrize(
    ("path", "word", "named"),
    [
        ("a/patient_12_left.png", "patient", "patient_12"), ("Patient-7/3.png", "patient", "patient_7"),
        ("cam03/x.png", "cam", "cam_03"), ("x/camB/1.png", "cam", "cam_b"), ("outpatient.png", "patient", None),
        ("webcam3.png", "cam", None), ("sub-01/anat.png", "sub", "sub_01"), ("subject.png", "sub", None),
        ("cats/7/1.png", "folder", "cats/7"), ("patients/1.png", "patient", None),
    ],
)  # fmt: skip
def test_names_say_to_which_group_a_file_belongs(path: str, word: str, named: str | None) -> None:
    assert named_in(path, word) == named


@pytest.fixture
def scans(in_tmp: Path) -> Path:
    """Four pictures of each of 10 patients in two classes."""
    random = np.random.default_rng(0)
    for patient in range(10):
        for number in range(4):
            name = "ill" if patient % 2 else "well"
            (in_tmp / "scans" / name).mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(in_tmp / "scans" / name / f"patient_{patient:02}_{number}.png")
    return in_tmp / "scans"


@pytest.mark.slow
def test_a_group_is_suggested_and_kept_together(scans: Path) -> None:
    found = tunesmith.check(str(scans))
    told = [one["message"] for one in found["warnings"] if one["what"] == "group"]
    assert len(told) == 1
    assert "10 groups" in told[0]
    assert "--group patient" in told[0]
    found = tunesmith.check(str(scans), group="patient")
    assert found["audit"]["split"]["how"] == "by group"
    assert all(rows % 4 == 0 for rows in found["splits"].values())
    assert not [one for one in found["warnings"] if one["what"] == "group"]
    with pytest.raises(DataError, match="do not say camera_1"):
        tunesmith.check(str(scans), group="camera")
    rows = [f"{path},{path.parent.name},{path.name[8:10]}" for path in sorted(scans.glob("*/*.png"))]
    (scans.parent / "a.csv").write_text("image,label,host_id\n" + "\n".join(rows))
    assert "--group host_id" in str(tunesmith.check("a.csv")["warnings"])
