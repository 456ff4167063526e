"""How good classes of pixels get, and how fast: hands on a ground, cut out by their colour, and generated shapes.

    python bench/segmentation.py shapes
    python bench/segmentation.py hands --data ../shared/data/sign_digits

Prints the metrics of the model and of the baselines, and the seconds of training. Masks of hands are made here: skin
by its hue (Chai & Ngan 1999, in YCbCr), holes filled, the largest part alone, so that a pixel's own colour does not say
it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

import tunesmith

SHAPES = ("ground", "disc", "square", "triangle")


def hands(source: Path, folder: Path, most: int) -> None:
    """Photographs of hands with a mask each, as images/ and masks/."""
    files = sorted(source.rglob("*.JPG")) + sorted(source.rglob("*.jpg"))
    for file in files[:: max(1, len(files) // most)][:most]:
        image = Image.open(file).convert("RGB")
        _, blue, red = (np.asarray(part).astype(int) for part in image.convert("YCbCr").split())
        skin = ndimage.binary_opening((red > 136) & (red < 175) & (blue > 75) & (blue < 128), iterations=1)
        skin = ndimage.binary_fill_holes(ndimage.binary_closing(skin, iterations=3))
        parts, count = ndimage.label(skin)
        if not count:
            continue
        largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        _save(folder, f"{file.parent.name}-{file.stem}", image, (parts == largest).astype(np.uint8))
    (folder / "classes.txt").write_text("ground\nhand\n", encoding="utf-8")


def shapes(folder: Path, count: int, side: int = 128) -> None:
    """Discs, squares and triangles of any colour on a ground of many, told apart by their form alone."""
    for number in range(count):
        chance = np.random.default_rng(number)
        ground = ndimage.zoom(chance.integers(0, 256, (4, 4, 3)).astype(float), (side / 4, side / 4, 1), order=1)
        image = Image.fromarray((ground + chance.normal(0, 12, ground.shape)).clip(0, 255).astype(np.uint8))
        mask = Image.new("L", image.size, 0)
        for _ in range(int(chance.integers(1, 4))):
            kind = int(chance.integers(1, 4))
            size = int(chance.integers(side // 5, side // 2))
            left, top = (int(one) for one in chance.integers(0, side - size, 2))
            colour = tuple(int(one) for one in chance.integers(0, 256, 3))
            for drawn, fill in ((ImageDraw.Draw(image), colour), (ImageDraw.Draw(mask), kind)):
                box = (left, top, left + size, top + size)
                if kind == 1:
                    drawn.ellipse(box, fill=fill)
                elif kind == 2:
                    drawn.rectangle(box, fill=fill)
                else:
                    drawn.polygon([(left, top + size), (left + size, top + size), (left + size // 2, top)], fill=fill)
        _save(folder, f"{number:05d}", image, np.asarray(mask))
    (folder / "classes.txt").write_text("\n".join(SHAPES) + "\n", encoding="utf-8")


def _save(folder: Path, name: str, image: Image.Image, mask: np.ndarray) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    image.save(folder / "images" / f"{name}.png")
    Image.fromarray(mask).save(folder / "masks" / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["hands", "shapes"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sign_digits"))
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="options of the run")
    asked = parser.parse_args()
    words: dict[str, object] = dict(one.split("=", 1) for one in asked.set)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "data")
        hands(asked.data, folder, asked.pictures) if asked.what == "hands" else shapes(folder, asked.pictures)
        begun = time.perf_counter()
        run = tunesmith.train(str(folder), task="image-segmentation", out=Path(place, "run"), **words)  # type: ignore[arg-type]
        print(
            f"{time.perf_counter() - begun:.0f} s in all, {run.document['cost'].get('train_seconds', 0):.0f} s training"
        )
        for name, found in {"model": run.document["test"], **run.document["baselines"]}.items():
            print(name, {metric: round(one["value"], 4) for metric, one in found.items()})
        for row in run.document["per_class"]:
            print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})


if __name__ == "__main__":
    main()
