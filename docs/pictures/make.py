"""Draw the images of README and the tutorial: python docs/pictures/make.py [CHECKPOINT]

``text.png`` shows `loomings.txt` (Melville, 1851), encoded with ``jitkit encode`` and enlarged eight times.
``film-strip.png`` is the output of ``jitkit generate CHECKPOINT --seed 7 --image``; without a checkpoint it is unchanged.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
SIDE = 8


def main(checkpoints: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        album, strips = Path(folder, "album"), Path(folder, "strips")
        jitkit("encode", str(HERE / "loomings.txt"), "--manifest", "jit-b4", "-o", str(album))
        [page] = sorted(album.glob("*.png"))
        with Image.open(page) as picture:
            large = picture.resize((picture.width * SIDE, picture.height * SIDE), Image.Resampling.NEAREST)
        large.quantize().save(HERE / "text.png", optimize=True)
        for checkpoint in checkpoints:
            jitkit("generate", checkpoint, "--seed", "7", "--image", str(strips))
            shutil.copy(strips / "seed-7-film.png", HERE / "film-strip.png")


def jitkit(*words: str) -> None:
    subprocess.run([Path(sys.executable).with_name("jitkit"), *words], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
