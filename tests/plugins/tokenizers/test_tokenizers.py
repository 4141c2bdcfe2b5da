"""Tokenizers are exact on any text and safe on any file. Conformance is tested elsewhere."""

import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
import tiktoken
from hypothesis import given

from jitkit.errors import InputError, ManifestError, RefusedError
from jitkit.files import Files
from jitkit.tokenization.ranks import PATTERN, format_ranks, parse_ranks
from jitkit_plugins.tokenizers.bytes import BytesTokenizer
from jitkit_plugins.tokenizers.tiktoken import TiktokenTokenizer

ZOO = Path(__file__).parents[3] / "zoo"
MULTI = "tokenizers/multi-16k.tiktoken"
PIECES = (*(bytes([byte]) for byte in range(256)), b"th", b"the")
BUILT = {
    "bytes": BytesTokenizer().build(Files(ZOO)),
    "multi-16k": TiktokenTokenizer(file=MULTI).build(Files(ZOO)),
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def built(folder: Path, data: bytes = format_ranks(PIECES), **options):
    (folder / "x.tiktoken").write_bytes(data)
    return TiktokenTokenizer(file="x.tiktoken", **options).build(Files(folder))


@pytest.mark.parametrize("name", BUILT)
@given(text=TEXT)
def test_any_text_round_trips(name: str, text: str) -> None:
    tokenizer = BUILT[name]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert all(0 <= token < tokenizer.eos_id for token in ids)


@given(st.lists(st.integers(0, 16383), max_size=50))
def test_any_ids_decode_to_the_joined_bytes(ids: list[int]) -> None:
    tokenizer = BUILT["multi-16k"]
    assert tokenizer.decode(ids) == b"".join(tokenizer.decode_bytes([i]) for i in ids).decode(errors="replace")


@pytest.mark.parametrize("unit", ["a", " ", "\n", " \n", "!", "1", "ก", "\u0301", "世", "\u00a0"])
def test_long_runs_of_one_character_round_trip(unit: str) -> None:
    text = "x" + unit * (1_100_000 // len(unit)) + "y"
    tokenizer = BUILT["multi-16k"]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_ids_equal_those_of_tiktoken() -> None:
    ranks = {piece: rank for rank, piece in enumerate(parse_ranks((ZOO / MULTI).read_bytes(), MULTI))}
    oracle = tiktoken.Encoding("x", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    text = "It was a dark and stormy night; <|endoftext|> 世界人权宣言 12345\r\n  \tend"
    assert BUILT["multi-16k"].encode(text) == oracle.encode_ordinary(text)


def test_the_zoo_vocabulary_matches_its_readme() -> None:
    tokenizer = BUILT["multi-16k"]
    assert (tokenizer.vocab_size, tokenizer.eos_id, tokenizer.pad_id) == (16384, 16382, 16383)
    assert len(tokenizer.encode("All human beings are born free and equal in dignity and rights.")) < 20
    assert len(tokenizer.encode("人人生而自由，在尊严和权利上一律平等。")) < 20


def test_bytes_are_bytes() -> None:
    tokenizer = BUILT["bytes"]
    assert tokenizer.encode("aé") == [97, 0xC3, 0xA9]
    assert (tokenizer.vocab_size, tokenizer.eos_id, tokenizer.pad_id) == (258, 256, 257)
    assert tokenizer.decode([97, 0xC3, 256, 257, 98]) == "a\ufffdb"


@pytest.mark.parametrize("name", BUILT)
def test_lone_surrogates_and_invalid_ids_are_refused(name: str) -> None:
    tokenizer = BUILT[name]
    with pytest.raises(InputError, match=r"lone surrogate U\+D800 at character 1"):
        tokenizer.encode("a\ud800")
    for ids in ([tokenizer.vocab_size], [0, -1]):
        with pytest.raises(InputError, match=f"expected ids from 0 to {tokenizer.vocab_size - 1}"):
            tokenizer.decode(ids)


def test_a_changed_file_is_read_again(tmp_path) -> None:
    first = built(tmp_path)
    second = built(tmp_path, format_ranks(PIECES[:257]))
    assert (first.vocab_size, second.vocab_size) == (260, 259)
    assert first.fingerprint != second.fingerprint


def test_an_embedded_file_takes_precedence_over_the_disk(tmp_path) -> None:
    tokenizer = built(tmp_path)
    component = TiktokenTokenizer(file="x.tiktoken")
    (tmp_path / "x.tiktoken").write_bytes(b"damaged since")
    assert component.build(Files(tmp_path, embedded=tokenizer.files())).fingerprint == tokenizer.fingerprint
    with pytest.raises(InputError, match=r"x\.tiktoken:1: found b'damaged'; expected bytes in base64"):
        component.build(Files(tmp_path))


def test_a_pattern_changes_ids_and_fingerprint_but_not_the_text(tmp_path) -> None:
    whole, single = built(tmp_path), built(tmp_path, pattern=r"(?s:.)")
    assert whole.encode("the") == [257]
    assert single.encode("the") == [*b"the"]
    assert whole.fingerprint != single.fingerprint


def test_settings_include_the_pattern() -> None:
    assert TiktokenTokenizer(file="x").pattern == PATTERN
    assert TiktokenTokenizer(encoding="cl100k_base").pattern != TiktokenTokenizer(encoding="r50k_base").pattern
    spelled = TiktokenTokenizer.model_validate_json(TiktokenTokenizer(file="x").model_dump_json())
    assert spelled == TiktokenTokenizer(file="x")


@pytest.mark.parametrize("options", [{}, {"file": "x", "encoding": "cl100k_base"}])
def test_exactly_one_origin_is_required(options) -> None:
    with pytest.raises(ValueError, match=r"file: found .*; expected one of them"):
        TiktokenTokenizer(**options)


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(a", r"tokenizer.pattern: found pattern '\(a' \(.*\); expected a regular expression"),
        (r"\p{L}+", "drops characters; expected a pattern that matches all text"),
    ],
)
def test_a_bad_pattern_is_a_manifest_error(tmp_path, pattern: str, sentence: str) -> None:
    with pytest.raises(ManifestError, match=sentence):
        built(tmp_path, pattern=pattern)


def test_a_pattern_that_backtracks_too_much_is_one_error(tmp_path, capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer = built(tmp_path, pattern=r"(?:a(?=a|$)|aa)+b|(?s:.)")
    with pytest.raises(InputError, match="expected a pattern without deep backtracking"):
        tokenizer.encode("a" * 60)
    assert not capfd.readouterr().err, "the stack trace of tiktoken's Rust code"


def test_files_stay_in_their_folder(tmp_path) -> None:
    with pytest.raises(RefusedError, match=r"tokenizer\.file"):
        TiktokenTokenizer(file="../x.tiktoken").build(Files(tmp_path))
    with pytest.raises(InputError, match=r"absent\.tiktoken: tokenizer\.file: found no such file"):
        TiktokenTokenizer(file="absent.tiktoken").build(Files(tmp_path))


def test_listing_tokenizers_imports_no_torch() -> None:
    code = (
        "import sys; from jitkit_plugins.tokenizers import jitkit_tokenizers as t; from jitkit_plugins.sources import"
        " jitkit_data_sources as s; t(), s(); assert not {'torch', 'tiktoken', 'requests'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
