"""Optional libraries: whether they are installed, and the command that installs them."""

from __future__ import annotations

import importlib.metadata

from kvgg_jax.core.errors import MissingExtra

EXTRAS = {
    "hub": ("keras-hub",),
    "mlflow": ("mlflow-skinny", "sqlalchemy", "alembic"),
    "tensorboard": ("tensorboard",),
    "tune": ("optuna",),
    "postgresql": ("psycopg", "sqlalchemy"),
    "wandb": ("wandb",),
    "parquet": ("pyarrow",),
    "onnx": ("onnx", "onnxruntime"),
    "safetensors": ("safetensors",),
    "serve": ("fastapi", "uvicorn", "python-multipart", "prometheus-client"),
}
"""Extra in pyproject.toml -> the distributions it installs."""


def require(extra: str, *, by: str) -> None:
    """Raises MissingExtra unless what `by` needs is installed. Nothing is imported.

    It checks distributions, not modules: a folder named `wandb` would pass for a module.
    """
    for distribution in EXTRAS[extra]:
        try:
            importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            raise MissingExtra(
                f"{by} needs {distribution}, which is not installed. "
                f'Add it: pip install "kvgg_jax[{extra}]"'
            ) from None
