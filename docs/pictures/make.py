"""Draw the images of README and the tutorial: python docs/pictures/make.py [CHECKPOINT]

``text.png`` shows `loomings.txt` (Melville, 1851), encoded with ``jitkit encode`` and enlarged eight times.
``walsh.png`` shows sixteen codewords of the plugin in examples/jitkit-walsh.
``film-strip.png`` is the output of ``jitkit generate CHECKPOINT --seed 0 --image``, for `jit-tales`; without a checkpoint it is unchanged.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent
SIDE = 8
CELL, LEFT, TOP, MARGIN = (
    24,
    92,
    76,
    16,
)  # pixels of walsh.png: a value, space for the labels of rows and columns, a margin
PAPER, INK, QUIET = "#ffffff", "#1c1f26", "#6b7280"


def main(checkpoints: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        album, strips = Path(folder, "album"), Path(folder, "strips")
        jitkit("encode", str(HERE / "loomings.txt"), "--manifest", "jit-b4", "-o", str(album))
        [page] = sorted(album.glob("*.png"))
        with Image.open(page) as picture:
            large = picture.resize((picture.width * SIDE, picture.height * SIDE), Image.Resampling.NEAREST)
        large.quantize().save(HERE / "text.png", optimize=True)
        draw_walsh(16).save(HERE / "walsh.png", optimize=True)
        for checkpoint in checkpoints:
            jitkit("generate", checkpoint, "--seed", "0", "--image", str(strips))
            shutil.copy(strips / "seed-0-film.png", HERE / "film-strip.png")


def draw_walsh(length: int) -> Image.Image:
    """Return a picture of the first `length` codewords, one per row."""
    sys.path.insert(0, str(HERE.parents[1] / "examples" / "jitkit-walsh"))
    from jitkit_walsh.codec import WalshCodec

    rows = WalshCodec(length=length).codebook(length).tolist()
    picture = Image.new("RGB", (LEFT + length * CELL + MARGIN, TOP + length * CELL + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    draw.text((LEFT, 12), "value of the codeword (three make a pixel)", INK, font)
    draw.text((MARGIN, TOP - 12), "token", INK, font, anchor="ls")
    for row, values in enumerate(rows):
        y = TOP + row * CELL
        draw.text((LEFT - 12, y + CELL / 2), str(row), QUIET, font, anchor="rm")
        draw.text((LEFT + (row + 0.5) * CELL, TOP - 12), str(row), QUIET, font, anchor="ms")
        for column, value in enumerate(values):
            x = LEFT + column * CELL
            draw.rectangle((x, y, x + CELL, y + CELL), (value, value, value), "#b8bcc6")
    return picture


def jitkit(*words: str) -> None:
    subprocess.run([Path(sys.executable).with_name("jitkit"), *words], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
