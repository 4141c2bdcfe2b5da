"""Albums: texts as folders of pictures, and back."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jitkit.errors import InputError, UsageError
from jitkit.files import Files
from jitkit.pictures.album import read_album, write_album
from jitkit.storage.png import png_bytes, read_picture
from jitkit_plugins.codecs.digits import StretchedDigits
from jitkit_plugins.tokenizers.bytes import BytesTokenizer

TOKENIZER = BytesTokenizer().build(Files(Path()))
CODEC = StretchedDigits().build(TOKENIZER.vocab_size, 8, 4)  # 64 tokens per image
TEXT = "\ufeffCall me Ishmael.\r\n石头记 \0 \U0001f40b e\u0301\n" * 9


@pytest.fixture
def album(tmp_path: Path) -> Path:
    (tmp_path / "novel.txt").write_bytes(TEXT.encode())
    write_album(tmp_path / "novel.txt", tmp_path / "album", TOKENIZER, CODEC)
    return tmp_path / "album"


def test_a_text_is_restored_byte_for_byte(album: Path) -> None:
    assert read_album(album, TOKENIZER, CODEC) == TEXT.encode()
    index = json.loads((album / "index.json").read_text())
    assert index["num_images"] == len(list(album.glob("*.png"))) == len(TEXT.encode()) // 64 + 1


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=25)
def test_any_text_is_restored(tmp_path_factory, text: str) -> None:
    folder = tmp_path_factory.mktemp("album")
    (folder / "a.txt").write_bytes(text.encode())
    write_album(folder / "a.txt", folder / "album", TOKENIZER, CODEC)
    assert read_album(folder / "album", TOKENIZER, CODEC) == text.encode()


@pytest.mark.parametrize("num_bytes", [0, 1, 63, 64, 65, 128])
def test_eos_follows_the_text_and_pad_fills_the_image(tmp_path: Path, num_bytes: int) -> None:
    (tmp_path / "a.txt").write_bytes(b"a" * num_bytes)
    write_album(tmp_path / "a.txt", tmp_path / "album", TOKENIZER, CODEC)
    pictures = [read_picture(path, 8) for path in sorted((tmp_path / "album").glob("*.png"))]
    ids = CODEC.decode_bytes(torch.stack(pictures)).flatten().tolist()
    assert ids[: num_bytes + 1] == [97] * num_bytes + [TOKENIZER.eos_id]
    assert set(ids[num_bytes + 1 :]) <= {TOKENIZER.pad_id}
    assert len(ids) == (num_bytes // 64 + 1) * 64


def test_small_noise_does_not_change_the_text(album: Path) -> None:
    path = album / "000001.png"
    picture = read_picture(path, 8).long()
    path.write_bytes(png_bytes((picture + torch.where(picture < 128, 9, -9)).to(torch.uint8)))
    assert read_album(album, TOKENIZER, CODEC) == TEXT.encode()


def test_a_changed_text_is_detected(album: Path) -> None:
    path = album / "000001.png"
    path.write_bytes(png_bytes(255 - read_picture(path, 8)))
    with pytest.raises(InputError, match=r"pictures of a text with SHA-256 .* set sha256 to null in index.json"):
        read_album(album, TOKENIZER, CODEC)
    index = json.loads((album / "index.json").read_text())
    (album / "index.json").write_text(json.dumps({**index, "sha256": None}))
    assert read_album(album, TOKENIZER, CODEC) != TEXT.encode()


def test_another_tokenizer_or_codec_is_an_error(album: Path) -> None:
    raster = StretchedDigits(layout="raster").build(TOKENIZER.vocab_size, 8, 4)
    with pytest.raises(
        InputError, match=r"index\.json: codec: .*manifest or checkpoint that the pictures were written with"
    ):
        read_album(album, TOKENIZER, raster)
    with pytest.raises(InputError, match=r"image_size: found 8; expected 16"):
        read_album(album, TOKENIZER, StretchedDigits().build(TOKENIZER.vocab_size, 16, 4))


def test_a_missing_picture_or_index_is_an_error(album: Path) -> None:
    (album / "000002.png").unlink()
    with pytest.raises(InputError, match=r"000002\.png: found no such file"):
        read_album(album, TOKENIZER, CODEC)
    (album / "index.json").unlink()
    with pytest.raises(InputError, match=r"index\.json: found no such file.*jitkit encode"):
        read_album(album, TOKENIZER, CODEC)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "invalid JSON"), ("{", "invalid JSON"), ('{"num_images": 0}', "num_images"), ("[]", "invalid JSON")],
)
def test_a_damaged_index_is_a_one_line_error(album: Path, content: str, message: str) -> None:
    (album / "index.json").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_album(album, TOKENIZER, CODEC)
    assert "\n" not in str(caught.value)


def test_invalid_utf8_is_an_error_with_its_offset(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc\xff")
    with pytest.raises(InputError, match=r"a\.txt: found byte 0xff at offset 3; expected UTF-8 text"):
        write_album(tmp_path / "a.txt", tmp_path / "album", TOKENIZER, CODEC)
    with pytest.raises(InputError, match=r"none\.txt: found no such file"):
        write_album(tmp_path / "none.txt", tmp_path / "album", TOKENIZER, CODEC)
    assert not (tmp_path / "album").exists()


def test_a_file_is_no_album(album: Path) -> None:
    with pytest.raises(
        InputError, match=r"000000\.png: found a file; expected the folder of an album\. Write one with"
    ):
        read_album(album / "000000.png", TOKENIZER, CODEC)


def test_nothing_is_overwritten(album: Path) -> None:
    before = {path: path.read_bytes() for path in album.iterdir()}
    with pytest.raises(UsageError, match=r"a folder that is not empty; .*\. --out chooses another folder\."):
        write_album(album / "index.json", album, TOKENIZER, CODEC)
    assert {path: path.read_bytes() for path in album.iterdir()} == before
