"""The list of competitors."""

from __future__ import annotations

import math

from jitkit.errors import UsageError
from research.competitors.autoregressive import Autoregressive
from research.competitors.competitor import Competitor
from research.competitors.masked import Masked
from research.competitors.pixel_models import ORIGINAL, PixelCompetitor
from research.competitors.shared_recipe import SharedRecipe
from research.competitors.token_models import TokenCompetitor


def all_competitors(recipe: SharedRecipe) -> dict[str, Competitor]:
    """Return all competitors by name. Raises UsageError if the original recipe's images cannot hold a window exactly."""
    side = math.isqrt(recipe.length)
    if side**2 != recipe.length or side % 4:
        raise UsageError(
            f"windows of {recipe.length} tokens",
            "the square of a multiple of 4, such as 64 or 256",
            field="MANIFEST",
            hint="The original recipe stores one token per pixel, in 4x4 patches.",
        )
    competitors: list[Competitor] = [
        PixelCompetitor("jitkit", recipe),
        PixelCompetitor("original", recipe, (*ORIGINAL, f"backbone.image_size={side}")),
        TokenCompetitor("masked", recipe, Masked),
        TokenCompetitor("autoregressive", recipe, Autoregressive),
    ]
    return {competitor.name: competitor for competitor in competitors}
