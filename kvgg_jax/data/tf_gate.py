"""The only `import tensorflow`. Keras comes first, so that TensorFlow cannot choose its backend,
and TensorFlow is kept off every accelerator: it only feeds data."""

from __future__ import annotations

import os

import kvgg_jax.keras_gate  # noqa: F401  (must run before tensorflow)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # keep its start-up chatter off the terminal

import tensorflow as tf

tf.config.set_visible_devices([], "GPU")
tf.config.set_visible_devices([], "TPU")

__all__ = ["tf"]
