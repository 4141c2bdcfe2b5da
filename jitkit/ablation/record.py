"""What a grid's folder remembers: the recipe of every run (`grid.json`), and how each run ended (`cell.json`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError, field_validator

from jitkit.ablation.grid_run import GridRun
from jitkit.errors import InputError
from jitkit.manifest.renamed import current_keys
from jitkit.manifest.schema import STRICT
from jitkit.storage.atomic import atomic_write

Recipe = dict[str, Any]
Document = TypeVar("Document", bound=BaseModel)


class Outcome(BaseModel):
    """How a run ended."""

    model_config = STRICT

    outcome: Literal["trained", "diverged"]
    loss: float | None = None  # validation loss at the end
    best_loss: float | None = None
    seconds: float  # of all steps, validation not counted
    reason: str = ""  # why it has no end


class Recipes(BaseModel):
    """The runs of a grid as it was when they were begun."""

    model_config = STRICT

    grid: str
    cells: dict[str, Recipe]  # by folder

    @field_validator("cells")
    @classmethod
    def _modernize(cls, cells: dict[str, Recipe]) -> dict[str, Recipe]:
        return {folder: current_keys(recipe) for folder, recipe in cells.items()}

    @classmethod
    def of(cls, grid: str, cells: Sequence[GridRun]) -> Recipes:
        """Return the recipes of planned cells."""
        return cls(grid=grid, cells={cell.folder.as_posix(): plain(cell.recipe) for cell in cells})


def read(model: type[Document], path: Path) -> Document | None:
    """Return what an earlier call wrote; None where nothing was. Raises InputError for a file that is not whole."""
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(error.strerror or str(error), "a readable file", file=path) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(first["msg"], "a file as jitkit ablate writes it", file=path) from error


def write(document: BaseModel | Mapping[str, Any], path: Path) -> None:
    """Write a document as JSON. Raises ResourceError when the place cannot be written."""
    values = document.model_dump(mode="json") if isinstance(document, BaseModel) else document
    with atomic_write(path) as file:
        file.write((json.dumps(values, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode())


def seconds_of(metrics: Path) -> float:
    """Return how long all steps in a `metrics.jsonl` took."""
    lines = map(json.loads, metrics.read_text(encoding="utf-8").splitlines())
    return float(sum(line["seconds"] for line in lines if "lr" in line))


def plain(values: Recipe) -> Recipe:
    """Return the values as they come back from JSON."""
    return dict(json.loads(json.dumps(values)))
