"""A text becomes windows that score each of its tokens once."""

from __future__ import annotations

import pytest
import torch

from jitkit.assembly import assemble
from jitkit.errors import InputError
from jitkit.harness.windows import windows_of
from tests.tiny import resolved

SIZES = [0, 1, 5, 15, 16, 17, 40, 48]


@pytest.fixture(scope="module")
def pipelines():
    """Models with images of 16 bytes, by whether they were trained with packing."""
    return {pack: assemble(resolved(f"train.pack={str(pack).lower()}")) for pack in (False, True)}


def text_of(size: int, first: str) -> str:
    return "".join(chr(ord(first) + i % 26) for i in range(size))


@pytest.mark.parametrize("context_size", SIZES)
@pytest.mark.parametrize("size", SIZES[1:])
def test_every_token_is_scored_once_after_the_tokens_before_it(pipelines, context_size, size) -> None:
    context, text = text_of(context_size, "A"), text_of(size, "a")
    windows = windows_of(pipelines[False], context, text)
    scored = windows.tokens[~windows.known].tolist()
    assert bytes(token for token in scored if token < 256).decode() == text
    given = bytes(windows.tokens[windows.known].tolist()).decode()
    assert context.endswith(given)
    assert not windows.known[1:].any()  # windows without overlap
    room = -size % 16
    assert len(given) == min(room, context_size)  # all that fits


@pytest.mark.parametrize("context_size", SIZES)
@pytest.mark.parametrize("size", SIZES[1:])
def test_a_model_trained_with_packing_sees_whole_images_of_text(pipelines, context_size, size) -> None:
    context, text = text_of(context_size, "A"), text_of(size, "a")
    if min(context_size, -size % 16) + size < 16:
        with pytest.raises(InputError, match=r"document 3: found a text of .*expected at least 16, a whole image"):
            windows_of(pipelines[True], context, text, field="document 3")
        return
    windows = windows_of(pipelines[True], context, text)
    assert windows.tokens.max() < 256
    assert bytes(windows.tokens[~windows.known].tolist()).decode() == text


def test_it_is_the_score_of_the_text_without_a_context(pipelines) -> None:
    (window,) = windows_of(pipelines[False], "", "to be").tokens
    assert torch.equal(window, pipelines[False].tokens_of("to be"))


def test_words_begin_with_their_space(pipelines) -> None:
    one, other = (windows_of(pipelines[False], *pair) for pair in (("to ", "be"), ("to", " be")))
    assert torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.known, other.known)


def test_an_empty_text_has_no_windows(pipelines) -> None:
    assert windows_of(pipelines[True], "to be", "").tokens.shape == (0, 16)
