"""Pictures of DICOM: what is seen of their grey values, and what is said of those that show nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.core.errors import DataError, MissingPackageError
from tunesmith.data import dicom
from tunesmith.data.looks import look
from tunesmith.data.pictures import read_picture

pydicom = pytest.importorskip("pydicom")


def written(path: Path, values: np.ndarray, **words: Any) -> Path:
    """Values uint16 [height, width] or uint8 [height, width, 3] as a file."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID = generate_uid(entropy_srcs=["a"])
    found.Rows, found.Columns = values.shape[-2:] if values.ndim == 3 and values.shape[2] != 3 else values.shape[:2]
    found.SamplesPerPixel = 3 if values.shape[-1] == 3 and values.ndim == 3 else 1
    found.PhotometricInterpretation = "RGB" if found.SamplesPerPixel == 3 else "MONOCHROME2"
    if found.SamplesPerPixel == 3:
        found.PlanarConfiguration = 0
    found.BitsAllocated = found.BitsStored = 8 * values.itemsize
    found.HighBit, found.PixelRepresentation = found.BitsStored - 1, 0
    found.PixelData = values.tobytes()
    for name, value in words.items():
        setattr(found, name, value)
    found.save_as(path, enforce_file_format=True)
    return path


RAMP = np.arange(0, 4096, dtype=np.uint16).reshape(64, 64)


def test_greys_are_seen_through_the_window_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.dcm", RAMP, WindowCenter=[1000, 40], WindowWidth=[201, 80])
    found = np.asarray(read_picture(path))
    flat = found[..., 0].ravel()
    assert found.shape == (64, 64, 3)
    assert (flat[:899] == 0).all()
    assert (flat[1101:] == 255).all()
    assert abs(int(flat[1000]) - 128) <= 2
    assert look(path).kind == "DICOM MONOCHROME2, its own window"
    moved = written(
        tmp_path / "b.dcm", RAMP, WindowCenter=0, WindowWidth=201, RescaleSlope=1, RescaleIntercept=-1000
    )  # fmt: skip
    assert np.array_equal(np.asarray(read_picture(moved)), found)


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_windows_of_other_forms(tmp_path: Path, function: str) -> None:
    path = written(tmp_path / "a.dcm", RAMP, WindowCenter=1000, WindowWidth=200, VOILUTFunction=function)
    flat = np.asarray(read_picture(path))[..., 0].ravel().astype(int)
    assert (np.diff(flat) >= 0).all()
    assert abs(flat[1000] - 128) <= 1


def test_without_a_window_all_is_seen_and_that_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.dcm", RAMP)
    flat = np.asarray(read_picture(path))[..., 0].ravel()
    assert (flat[0], flat[-1]) == (0, 255)
    assert abs(int(flat[2048]) - 128) <= 2
    assert look(path).kind.endswith("no window of its own")
    turned = written(tmp_path / "b.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")
    assert np.asarray(read_picture(turned))[0, 0, 0] == 255


def test_colours_and_frames(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    assert np.array_equal(np.asarray(read_picture(written(tmp_path / "a.dcm", colours))), colours)
    frames = np.stack([RAMP, RAMP[::-1]])
    path = written(tmp_path / "b.dcm", frames, NumberOfFrames=2)
    assert look(path).kind.endswith("several frames")
    assert np.asarray(read_picture(path))[0, 0, 0] == 0


def test_what_shows_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.dcm", RAMP)
    (tmp_path / "cut.dcm").write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match="damaged"):
        read_picture(tmp_path / "cut.dcm")
    (tmp_path / "no.dcm").write_bytes(b"a text")
    with pytest.raises(DataError, match="no picture in spite of its name"):
        read_picture(tmp_path / "no.dcm")
    found = pydicom.dcmread(path)
    del found.PixelData
    found.save_as(tmp_path / "none.dcm")
    with pytest.raises(DataError, match=r"none\.dcm: it is a DICOM file without a picture"):
        read_picture(tmp_path / "none.dcm")

    def absent(*_: object, **__: object) -> None:
        raise MissingPackageError("a DICOM file needs the package 'pydicom', which is not installed.")

    monkeypatch.setattr(dicom, "require", absent)
    with pytest.raises(DataError, match=r"a\.dcm: a DICOM file needs.*pip install 'tunesmith\[image\]'"):
        read_picture(path)
