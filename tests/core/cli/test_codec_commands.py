"""`jitkit codec`, `jitkit encode` and `jitkit decode` as a user meets them."""

import json
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


def said(run: subprocess.CompletedProcess[str], code: int, line: str) -> None:
    assert run.returncode == code, run.stderr
    assert run.stderr.startswith("jitkit: error: ")
    assert run.stderr.count("\n") == 1
    assert line in run.stderr
    assert not run.stdout


def test_all_codecs_are_listed() -> None:
    codecs = json.loads(jitkit("codec", "list", "--json").stdout)["codecs"]
    assert {"base256", "bits", "code", "digits", "palette"} <= {codec["name"] for codec in codecs}


def test_inspecting_measures_and_draws(tmp_path: Path) -> None:
    picture = tmp_path / "lines.png"
    options = ("--vocab-size", 64, "--num-tokens", 500, "--set", "schedule.noise_scale=0.5")
    run = jitkit("codec", "inspect", "bits", "jit-nano", *options, "--image", picture, "--json")
    bits, nano = json.loads(run.stdout)["codecs"]
    assert (bits["margin"], bits["tokens_per_image"], bits["schedule"]["noise_scale"]) == (1, 2048, 0.5)
    assert (nano["vocab_size"], nano["image_size"], nano["tokens_per_patch"]) == (64, 32, 1)
    assert bits["noise"][0] == {"sigma": 0.001, "accuracy": 1}
    assert [row["t"] for row in bits["contextless"]][::20] == [0, 1]
    accuracies = [row["accuracy"] for row in bits["contextless"]]
    assert accuracies[0] < 0.1
    assert accuracies[-1] == 1
    with Image.open(picture) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(2**24)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (255, 255, 255)} <= colours
    printed = jitkit("codec", "inspect", "bits", *options).stdout
    assert "tokens an image      2048" in printed
    assert "margin             1.0000" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["codecs"], 3, "codecs: found no codec, no zoo id and no file; expected one of"),
        (["paletta"], 3, "Did you mean palette?"),
        (["code", "--set", "codec.numbers=3"], 3, "code: codec.numbers: found 3 numbers a token; expected at least 14"),
        (["code", "--set", "codec.numbrs=3"], 3, "--set: codec.numbrs: found an unknown key"),
        (["code", "--set", "train.lr=3"], 3, "found table 'train'; expected codec or schedule"),
        (["bits", "--image-size", 30], 3, "bits: codec: found patch_size 4; expected a divisor of image_size 30"),
    ],
)
def test_what_cannot_be_inspected_is_one_line(arguments, code: int, line: str) -> None:
    said(jitkit("codec", "inspect", *arguments), code, line)


def test_a_novel_becomes_pictures_and_comes_back(tmp_path: Path, shared_data: Path) -> None:
    novel, album, back = shared_data / "novels" / "hong_lou_meng.txt", tmp_path / "album", tmp_path / "back.txt"
    run = jitkit("encode", novel, "--manifest", "jit-b4", "-o", album, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["num_bytes"] == novel.stat().st_size
    assert jitkit("decode", album, "--manifest", "jit-b4", "-o", back).returncode == 0
    assert back.read_bytes() == novel.read_bytes()


def test_encoding_and_decoding_err_in_one_line(tmp_path: Path) -> None:
    text, album = tmp_path / "a.txt", tmp_path / "album"
    text.write_text("Call me Ishmael.")
    nano = ("--manifest", "jit-nano")
    said(jitkit("encode", text, "-o", album), 2, "found neither --manifest nor --checkpoint")
    said(jitkit("encode", tmp_path / "b.txt", *nano, "-o", album), 4, "b.txt: found no such file")
    assert jitkit("encode", text, *nano, "-o", album).returncode == 0
    said(jitkit("encode", text, *nano, "-o", album), 2, "holds something already")
    wider = ("--set", "backbone.image_size=64")
    said(jitkit("decode", album, *nano, *wider, "-o", tmp_path / "x"), 4, "image_size: found 32; expected 64")
    (album / "000000.png").write_bytes(b"GIF89a")
    said(jitkit("decode", album, *nano, "-o", tmp_path / "x"), 4, "000000.png: found a GIF file")
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob(".*"))
