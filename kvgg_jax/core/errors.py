"""Every error a user can cause, as one tree:

KvggError               exit code 1: what, where, the next move
├── UsageError          exit code 2: a flag or argument that cannot be right
├── ConfigError         a configuration file or value that cannot be right
├── DataError           a folder of photos that cannot be used
│   └── ImageError      one file that cannot be read as an image
├── RunError            a run folder that cannot be used
├── WeightsError        a weight file that cannot be used
│   └── WeightsMismatch whose layers are not those of the network
├── NonFiniteLoss       training diverged
├── OutOfMemory         the machine cannot hold what was asked of it
├── ServeError          an address that cannot be served at
├── MissingExtra        an optional library that was asked for is not installed
└── Stopped             the run was asked to stop, and what it had done is saved
"""

from __future__ import annotations

import errno


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was not the memory that was asked for.

    Python, NumPy, XLA, TensorFlow and the system say so in ways of their own. False for an error
    made for the user, whatever its text.
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = ("RESOURCE_EXHAUSTED", "std::bad_alloc", "ResourceExhaustedError")
    text = f"{type(error).__name__}: {error}"
    return not isinstance(error, KvggError) and any(word in text for word in words)


class KvggError(Exception):
    """Base of all errors raised on purpose; its text is written for the user."""

    exit_code = 1


class UsageError(KvggError):
    """A command-line value that cannot be right."""

    exit_code = 2


class ConfigError(KvggError):
    """A configuration file or value that cannot be right."""


class DataError(KvggError):
    """A folder of photos that cannot be used as it is."""


class ImageError(DataError):
    """One file that cannot be read as an image; `str(error)` opens with its path."""


class RunError(KvggError):
    """A run folder that is missing, incomplete or does not fit the request."""


class WeightsError(KvggError):
    """A file of weights that is missing, damaged, hostile or does not fit the network."""


class WeightsMismatch(WeightsError):
    """Weights whose layers are not those that the network needs."""


class NonFiniteLoss(KvggError):
    """The loss became NaN or infinite; the last good checkpoint is untouched."""


class OutOfMemory(KvggError):
    """The device or the machine cannot hold what was asked of it."""


class ServeError(KvggError):
    """An address that cannot be served at."""


class MissingExtra(KvggError):
    """An optional library that was asked for is not installed; the text has the one command."""


class Stopped(KvggError):
    """The run was asked to stop; all that it had done is saved."""
