"""Every error that a user can cause, as one tree; `exit_code` is that of the command."""

from __future__ import annotations

import errno


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy, XLA, TensorFlow or the system lacked memory.

    False for a KvggError, whatever its text.
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = (
        "RESOURCE_EXHAUSTED",
        "std::bad_alloc",
        "ResourceExhaustedError",
        "can't start new thread",  # there is no memory for its stack
        "failed to map segment",  # of a library that is being imported
    )
    text = f"{type(error).__name__}: {error}"
    return not isinstance(error, KvggError) and any(word in text for word in words)


class KvggError(Exception):
    """Base of all errors whose text is written for the user."""

    exit_code = 1


class UsageError(KvggError):
    """A command-line value that cannot be right."""

    exit_code = 2


class ConfigError(KvggError):
    """A configuration file or value that cannot be right."""


class DataError(KvggError):
    """A folder of photos that cannot be used."""


class ImageError(DataError):
    """One file that cannot be read as an image; `str(error)` opens with its path."""


class RunError(KvggError):
    """A run folder that is missing, incomplete or does not fit the request."""


class WeightsError(KvggError):
    """A file of weights that is missing, damaged, hostile or does not fit the network."""


class WeightsMismatch(WeightsError):
    """Weights whose layers are not those of the network."""


class NonFiniteLoss(KvggError):
    """The loss became NaN or infinite; the last good checkpoint is untouched."""


class OutOfMemory(KvggError):
    """The memory of the device or of the machine is too small."""


class ServeError(KvggError):
    """An address that the server cannot use."""


class MissingExtra(KvggError):
    """A library of an extra is not installed; the text has the command that installs it."""


class Stopped(KvggError):
    """The run was asked to stop, and is saved."""
