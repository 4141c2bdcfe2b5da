"""Templates with holes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitkit.errors import UsageError
from jitkit.infill import Hole, fit_template, parse_template
from tests.tiny import resolved


@pytest.fixture(scope="module")
def tokenizer():
    components = resolved()
    return components.tokenizer.build(components.files)


def test_pieces():
    assert parse_template("a [[...]] b") == ["a ", Hole(None), " b"]
    assert parse_template("[[3]][[ … ]]") == [Hole(3), Hole(None)]
    assert parse_template("a[[1]]b]]c") == ["a", Hole(1), "b]]c"]


@pytest.mark.parametrize("template", ["", "no hole", "[...]", "[[0]]", "[[-1]]", "[[x]]", "[[]]", "[[1.5]]", "[[²]]"])
def test_what_is_no_hole_is_an_error(template):
    with pytest.raises(UsageError, match="--infill"):
        parse_template(template)


@pytest.mark.parametrize(
    ("template", "length", "shape"),
    [
        ("ab[[...]]c", 8, "##.....#"),  # one open hole takes what is left: the text fills the image
        ("a[[...]]b[[...]]c", 8, "#...#..#"),  # two share it, the first gets the odd one
        ("a[[2]]b", 8, "#..#...."),  # after a counted hole the model goes on
        ("a[[2]]b[[...]]c", 8, "#..#...#"),
        ("[[...]]", 4, "...."),
        ("ab[[...]]", 4, "##.."),
    ],
)
def test_what_is_known(tokenizer, template, length, shape):
    tokens, known = fit_template(parse_template(template), tokenizer, length)
    assert "".join("#" if given else "." for given in known) == shape
    text = "".join(piece for piece in parse_template(template) if isinstance(piece, str))
    assert tokenizer.decode([id for id, given in zip(tokens, known, strict=True) if given]) == text
    assert {id for id, given in zip(tokens, known, strict=True) if not given} <= {tokenizer.pad_id}


@pytest.mark.parametrize("template", ["abcd[[...]]", "ab[[3]]", "abc[[...]][[...]]", "[[99999999999999]]"])
def test_more_than_an_image_holds_is_an_error(tokenizer, template):
    with pytest.raises(UsageError, match="at most 4 in total"):
        fit_template(parse_template(template), tokenizer, 4)


@given(st.lists(st.one_of(st.text("ab", min_size=1, max_size=3), st.sampled_from(["[[...]]", "[[2]]"])), min_size=1))
def test_an_image_is_filled_exactly_or_refused(pieces):
    components = resolved()
    tokenizer = components.tokenizer.build(components.files)
    try:
        tokens, known = fit_template(parse_template("".join(pieces)), tokenizer, 16)
    except UsageError:
        return
    assert len(tokens) == len(known) == 16
    assert sum(known) == sum(len(piece) for piece in pieces if "[" not in piece)
