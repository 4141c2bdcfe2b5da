"""The connection to the Hub: `huggingface_hub`, quiet, and with errors of one line."""

from __future__ import annotations

import errno
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from jitkit.errors import InputError, JitkitError, ResourceError, first_line, missing_package, shown
from jitkit.hub.reference import Reference

if TYPE_CHECKING:
    from huggingface_hub import HfApi

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}  # its errors
LOGIN = "`hf auth login` stores a token; HF_TOKEN is read as well."


def require_package(reference: Reference) -> None:
    """Raise ResourceError if `huggingface_hub` is not installed."""
    if find_spec("huggingface_hub") is None:
        raise missing_package("huggingface_hub", "models of the Hub", "hub", field=str(reference))


@contextmanager
def hub_client(reference: Reference) -> Iterator[HfApi]:
    """Yield the client that the block uses for `reference`. It uses HF_ENDPOINT, and the token of HF_TOKEN or a login.

    Raises InputError for a repository that does not exist or needs a login, and ResourceError without a connection or
    without the package.
    """
    require_package(reference)
    import huggingface_hub

    with _quiet():
        try:
            yield huggingface_hub.HfApi(library_name="jitkit")
        except JitkitError:
            raise
        except Exception as error:  # the package raises errors of several HTTP libraries, and of its own
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            raise _as_jitkit_error(error, reference) from error


def _as_jitkit_error(error: Exception, reference: Reference) -> JitkitError:
    """Return what a user sees of an error of `huggingface_hub`."""
    from huggingface_hub import errors

    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # "Error while uploading ..."
        return _as_jitkit_error(error.__cause__, reference)
    if isinstance(error, errors.GatedRepoError):
        hint = f"Request access on its page, then log in. {LOGIN}"
        return InputError("a repository that its owner opens on request", "one you may read", file=reference, hint=hint)
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError("no such repository, or one that needs a login", "a model", file=reference, hint=LOGIN)
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"no revision {shown(reference.revision)}", "a branch, tag or commit", file=reference)
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, reference)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return ResourceError("HF_HUB_OFFLINE", "a connection to the Hugging Face Hub", file=reference)
    expected, hint = "a connection to the Hugging Face Hub", "Nothing was kept. Try again."
    return ResourceError(f"{type(error).__name__} ({first_line(error)})", expected, file=reference, hint=hint)


def _refusal(error: object, reference: Reference) -> JitkitError:
    """Return what a user sees of an HTTP status that means failure."""
    status: int = getattr(error, "response").status_code  # noqa: B009 (its type depends on the version of the package)
    message = getattr(error, "server_message", None) or ""
    found = f"HTTP status {status}" + (f" ({' '.join(message.split()).rstrip('.')})" if message else "")
    if status in (401, 403):
        return InputError(found, "a token with permission", file=reference, hint=LOGIN)
    if status in (408, 429) or status >= 500:
        return ResourceError(found, "a Hub that answers", file=reference, hint="Try again later.")
    return InputError(found, "a request that the Hub accepts", file=reference)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and warnings of `huggingface_hub`, and what it logs of retries."""
    from huggingface_hub import utils

    logger, was_disabled = logging.getLogger("huggingface_hub"), utils.are_progress_bars_disabled()
    level = logger.level
    utils.disable_progress_bars()
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        if not was_disabled:
            utils.enable_progress_bars()
