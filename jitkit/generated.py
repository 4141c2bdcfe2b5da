"""One generated text, and how a notebook shows it."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass

from torch import Tensor

from jitkit.errors import MAX_SHOWN
from jitkit.storage.picture import Picture

WIDTH = 128  # pixels of a picture in a notebook


@dataclass(frozen=True, repr=False, eq=False)
class Generated:
    """One generated text, with its tokens and image."""

    text: str  # up to the first eos
    seed: int
    tokens: Tensor  # [L] int64
    image: Tensor  # [3, H, W] float, as sampled
    num_tokens: int  # before the first eos
    picture: Picture  # of `tokens`, exact

    @property
    def ended(self) -> bool:
        """Whether the model ended the text with an eos."""
        return self.num_tokens < len(self.tokens)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= MAX_SHOWN else self.text[: MAX_SHOWN - 3] + "..."
        return f"Generated({text!r}, seed={self.seed})"

    def _repr_html_(self) -> str:
        """Return the picture and the text for a notebook. The text is escaped: it may contain anything."""
        source = base64.b64encode(self.picture.visible().png()).decode()
        picture = (
            f'<img src="data:image/png;base64,{source}" alt="" width="{WIDTH}" style="image-rendering: pixelated">'
        )
        text = f'<div style="white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate">{html.escape(self.text)}</div>'
        caption = f"<small>seed {self.seed}</small>"
        style = "display: flex; gap: 1em; align-items: start; margin: .5em 0"
        return f'<div style="{style}">{picture}<div>{text}{caption}</div></div>'


class Texts(list[Generated]):
    """Generated texts. A notebook shows them one below the other."""

    def _repr_html_(self) -> str:
        return "".join(text._repr_html_() for text in self)
