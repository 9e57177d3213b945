"""The names of Keras Applications' networks."""

from __future__ import annotations

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.architectures import APPLICATIONS
from kvgg_jax.models.vgg import BLOCKS


def test_every_network_that_keras_has_is_there():
    """All but VGG, which this package builds itself."""
    found = {name for name in dir(keras.applications) if name[0].isupper()}
    ours = {place.rpartition(".")[2] for place in APPLICATIONS.values()}
    assert ours == found - {"VGG16", "VGG19"}
    assert not APPLICATIONS.keys() & BLOCKS.keys()


def test_its_module_has_what_prepares_images_for_it():
    """Under the module named in the table."""
    for place in APPLICATIONS.values():
        module, _, _ = place.partition(".")
        assert callable(getattr(keras.applications, module).preprocess_input)
