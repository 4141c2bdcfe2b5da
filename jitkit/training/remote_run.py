"""A run whose checkpoint folders are copied to a URL, `parallel.remote`: beginning one, and continuing one without its disk."""

from __future__ import annotations

from collections.abc import Callable

from jitkit.checkpoints.remote import RemoteCheckpoints, step_of
from jitkit.errors import UsageError
from jitkit.storage.atomic import make_folder, replace, temporary_name, writing
from jitkit.training.run_folder import RunFolder


def require_unused(url: str) -> None:
    """Raise UsageError if there are checkpoints of a run at a URL."""
    if RemoteCheckpoints(url).complete():
        hint = "--resume auto continues it, --overwrite deletes it."
        raise UsageError(f"a run at {url}", "a URL without one", field="parallel.remote", hint=hint)


def download_newer(folder: RunFolder, url: str, note: Callable[[str], None]) -> None:
    """Download the latest complete checkpoint folder at a URL, if the run has none of its step or a later one."""
    remote = RemoteCheckpoints(url)
    name = next(iter(remote.complete()), None)
    steps = [file.step or 0 for file in folder.index.named("checkpoint").values() if file.is_complete]
    if name is None or step_of(name) <= max(steps, default=-1):
        return
    note(f"downloading {remote.url}/{name}")
    target = folder.new_folder(step_of(name))
    temporary = temporary_name(folder.at(target))
    make_folder(temporary)
    remote.download(name, temporary)
    folder.claim({target: "checkpoint"}, step_of(name))
    with writing(folder.at(target)):
        replace(temporary, folder.at(target))
    folder.record({target: "checkpoint"}, step_of(name))
