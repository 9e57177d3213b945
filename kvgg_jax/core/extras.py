"""Optional libraries: whether they are installed, and the command that installs them."""

from __future__ import annotations

import importlib.metadata

from kvgg_jax.core.errors import MissingExtra

EXTRAS = {
    "heic": ("pillow-heif",),
    "hub": ("keras-hub",),
    "mlflow": ("mlflow-skinny", "sqlalchemy", "alembic"),
    "tensorboard": ("tensorboard",),
    "tune": ("optuna",),
    "postgresql": ("psycopg", "sqlalchemy"),
    "wandb": ("wandb",),
    "parquet": ("pyarrow",),
    "video": ("av",),
    "s3": ("s3fs",),
    "gs": ("gcsfs",),
    "huggingface": ("datasets",),
    "tfds": ("tensorflow-datasets", "importlib-resources"),
    "http": ("aiohttp",),
    "onnx": ("onnx", "onnxruntime"),
    "safetensors": ("safetensors",),
    "serve": ("fastapi", "uvicorn", "python-multipart", "prometheus-client"),
}
"""Extra in pyproject.toml -> the distributions it installs."""


def require(extra: str, *, by: str) -> None:
    """Raises MissingExtra unless what `by` needs is installed. Nothing is imported.

    It checks distributions, not modules: a folder named `wandb` would pass for a module.
    """
    if missing := missing_from(extra):
        raise MissingExtra(
            f"{by} needs {missing}, which is not installed. Add it: {how_to_add(extra)}"
        )


def missing_from(extra: str) -> str | None:
    """The first distribution of `extra` that is not installed; None where all are."""
    for distribution in EXTRAS[extra]:
        try:
            importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return distribution
    return None


def how_to_add(extra: str) -> str:
    """The command that installs it."""
    return f'pip install "kvgg_jax[{extra}]"'
