"""From files to batches: sources, splits, decoding, caches and the tf.data pipeline."""
