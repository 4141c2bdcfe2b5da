"""The way from noise to text, recorded and drawn."""

from jitkit.filmstrip.changes import changes
from jitkit.filmstrip.files import write_pictures
from jitkit.filmstrip.recorder import Frame, Moment, Recorder, frames_of
from jitkit.filmstrip.strip import film_strip

__all__ = ["Frame", "Moment", "Recorder", "changes", "film_strip", "frames_of", "write_pictures"]
