"""`jitkit codec`, `jitkit encode` and `jitkit decode` as processes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def jitkit(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from jitkit.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def assert_error(run: subprocess.CompletedProcess[str], code: int, line: str) -> None:
    assert run.returncode == code, run.stderr
    assert run.stderr.startswith("jitkit: error: ")
    assert run.stderr.count("\n") == 1
    assert line in run.stderr
    assert not run.stdout


def test_all_codecs_are_listed() -> None:
    codecs = json.loads(jitkit("codec", "list", "--json").stdout)["codecs"]
    assert {"base256", "bits", "code", "digits", "palette"} <= {codec["name"] for codec in codecs}


def test_inspect_measures_and_plots(tmp_path: Path) -> None:
    picture = tmp_path / "lines.png"
    options = ("--vocab-size", 64, "--num-tokens", 500, "--set", "schedule.noise_scale=0.5")
    run = jitkit("codec", "inspect", "bits", "jit-nano", *options, "--image", picture, "--json")
    bits, nano = json.loads(run.stdout)["codecs"]
    assert (bits["margin"], bits["tokens_per_image"], bits["schedule"]["noise_scale"]) == (1, 2048, 0.5)
    assert (nano["vocab_size"], nano["image_size"], nano["tokens_per_patch"]) == (64, 16, 2)
    assert bits["noise"][0] == {"sigma": 0.001, "accuracy": 1}
    assert [row["t"] for row in bits["contextless"]][::20] == [0, 1]
    accuracies = [row["accuracy"] for row in bits["contextless"]]
    assert accuracies[0] < 0.1
    assert accuracies[-1] == 1
    with Image.open(picture) as image:
        colors = {color for _, color in image.convert("RGB").getcolors(2**24)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (255, 255, 255)} <= colors
    printed = jitkit("codec", "inspect", "bits", *options).stdout
    assert re.search(r"^tokens per image +2048$", printed, re.MULTILINE)
    assert re.search(r"^margin +1\.0000$", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["codecs"], 3, "codecs: found no codec, no zoo id and no file; expected one of"),
        (["paletta"], 3, "Did you mean palette?"),
        (
            ["code", "--set", "codec.numbers=3"],
            3,
            "code: codec.numbers: found 3 values per token; expected at least 14",
        ),
        (["code", "--set", "codec.numbrs=3"], 3, "--set: codec.numbrs: found an unknown key"),
        (["code", "--set", "train.lr=3"], 3, "found table 'train'; expected codec or schedule"),
        (["bits", "--image-size", 30], 3, "bits: codec: found patch_size 4; expected a divisor of image_size 30"),
    ],
)
def test_each_inspect_error_is_one_line(arguments, code: int, line: str) -> None:
    assert_error(jitkit("codec", "inspect", *arguments), code, line)


def test_a_novel_round_trips_through_images(tmp_path: Path, shared_data: Path) -> None:
    novel, album, back = shared_data / "novels" / "hong_lou_meng.txt", tmp_path / "album", tmp_path / "back.txt"
    run = jitkit("encode", novel, "--manifest", "jit-b4", "-o", album, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["num_bytes"] == novel.stat().st_size
    assert jitkit("decode", album, "--manifest", "jit-b4", "-o", back).returncode == 0
    assert back.read_bytes() == novel.read_bytes()


def test_each_encode_and_decode_error_is_one_line(tmp_path: Path) -> None:
    text, album = tmp_path / "a.txt", tmp_path / "album"
    text.write_text("Call me Ishmael.")
    nano = ("--manifest", "jit-nano")
    assert_error(jitkit("encode", text, "-o", album), 2, "--model: found nothing; expected a model or manifest")
    assert_error(jitkit("encode", tmp_path / "b.txt", *nano, "-o", album), 4, "b.txt: found no such file")
    assert jitkit("encode", text, *nano, "-o", album).returncode == 0
    assert_error(jitkit("encode", text, *nano, "-o", album), 2, "not empty")
    wider = ("--set", "backbone.image_size=64")
    assert_error(jitkit("decode", album, *nano, *wider, "-o", tmp_path / "x"), 4, "image_size: found 16; expected 64")
    (album / "000000.png").write_bytes(b"GIF89a")
    assert_error(jitkit("decode", album, *nano, "-o", tmp_path / "x"), 4, "000000.png: found a GIF file")
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob(".*"))


def test_fitted_codewords_are_used_in_training_and_embedded(tmp_path: Path) -> None:
    """The checkpoint does not need the codebook file."""
    (tmp_path / "a.txt").write_text("the cat sat on the mat, and the dog ate the rat\n" * 200)
    small = ("--data", tmp_path / "a.txt", "--set", 'codec={use="bits"}')
    run = jitkit("codec", "fit", "jit-nano", *small, "-o", tmp_path / "a.png", "--numbers", 3, "--json")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert (document["vocab_size"], document["pixels_per_token"]) == (258, 4)
    assert document["margin"] >= document["margin_of_codec"] == 1
    assert_error(jitkit("codec", "fit", "jit-nano", *small, "-o", tmp_path / "a.png"), 2, "found an existing file")
    assert_error(
        jitkit("codec", "fit", "jit-nano", "-o", tmp_path / "b", "--order", "rank"),
        2,
        "--order: found 'rank'; expected",
    )
    text = (Path(__file__).parents[3] / "zoo" / "jit-nano.toml").read_text()
    manifest = tmp_path / "a.toml"
    manifest.write_text(text.replace('use = "bits"', 'use = "table"\nfile = "a.png"'))
    shown = jitkit("codec", "inspect", manifest, "--num-tokens", 64, "--json")
    assert json.loads(shown.stdout)["codecs"][0]["margin"] == document["margin"]
    tiny = ("depth=1", "embed_dim=32", "num_heads=2")
    sets = [part for key in tiny for part in ("--set", f"backbone.{key}")]
    sets += ["--set", "train.max_steps=2", "--set", "train.batch_size=2", "--set", "train.validation_windows=2"]
    sets += ["--set", "train.warmup_steps=1"]
    train = ("train", manifest, "--data", tmp_path / "a.txt", "--out", tmp_path / "run", *sets)
    run = jitkit(*train)
    assert run.returncode == 0, run.stderr
    table = (tmp_path / "a.png").read_bytes()
    assert (tmp_path / "run" / "a.png").read_bytes() == table
    assert jitkit("codec", "fit", "jit-nano", *small, "-o", tmp_path / "a.png", "--overwrite").returncode == 0
    assert_error(
        jitkit(*train, "--resume", "auto", "--set", "train.max_steps=3"), 4, "a.png: found other content than the run"
    )
    (tmp_path / "a.png").unlink()
    (tmp_path / "run" / "a.png").unlink()
    assert jitkit("export", tmp_path / "run" / "best_model.pth", "-o", tmp_path / "shared").returncode == 0
    assert (tmp_path / "shared" / "a.png").read_bytes() == table
    pictures = ("--checkpoint", tmp_path / "run" / "best_model.pth", "-o")
    assert jitkit("encode", tmp_path / "a.txt", *pictures, tmp_path / "album").returncode == 0
    assert jitkit("decode", tmp_path / "album", *pictures, tmp_path / "back").returncode == 0
    assert (tmp_path / "back").read_bytes() == (tmp_path / "a.txt").read_bytes()


def test_codewords_for_another_tokenizer_are_refused(tmp_path: Path) -> None:
    from jitkit.codecs.codebook import codebook_bytes
    from jitkit_plugins.codecs.bits import Bits

    words = Bits().build(258, 8, 4).codebook.words
    (tmp_path / "a.png").write_bytes(codebook_bytes(words, "of another"))
    (tmp_path / "a.txt").write_text("Call me Ishmael.")
    text = (Path(__file__).parents[3] / "zoo" / "jit-nano.toml").read_text()
    manifest = tmp_path / "a.toml"
    manifest.write_text(text.replace('use = "bits"', 'use = "table"\nfile = "a.png"'))
    run = jitkit("encode", tmp_path / "a.txt", "--manifest", manifest, "-o", tmp_path / "album")
    assert_error(run, 3, "codec.file: found codewords for tokenizer 'of another'")
    manifest.write_text(manifest.read_text().replace("a.png", "b.png"))
    run = jitkit("encode", tmp_path / "a.txt", "--manifest", manifest, "-o", tmp_path / "album")
    assert_error(run, 4, "b.png: codec.file: found no such file or directory")
