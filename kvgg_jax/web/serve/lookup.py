"""The training photos that are most like an uploaded one, as small copies."""

from __future__ import annotations

from dataclasses import dataclass

from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.places import file_place
from kvgg_jax.data.decode.image import Read
from kvgg_jax.data.samples import reader
from kvgg_jax.inference.classifier import Classifier
from kvgg_jax.inference.embedding import Vector
from kvgg_jax.inference.neighbors import TrainingPhotos, training_photos
from kvgg_jax.web.html.thumbnails import thumbnail
from kvgg_jax.web.serve.schemas import Near


@dataclass(frozen=True, slots=True)
class Lookup:
    """Finds training photos by an embedding, and reads those alone, from where they are."""

    known: TrainingPhotos
    read: Read

    def __call__(self, vector: Vector, count: int) -> list[Near]:
        """The `count` most similar ones; without an image where one cannot be read any more.

        Of a path its last part is given, as the rest says how this machine is laid out.
        """
        return [
            Near(
                label=near.label,
                similarity=near.similarity,
                name=file_place(near.path).name,
                image=thumbnail(file_place(near.path), self.read),
            )
            for near in self.known.nearest(vector, count)
        ]


def make_lookup(classifier: Classifier, emit: Emit = ignore) -> Lookup:
    """Of the photos that a run was trained on, which are embedded now if they never were.

    Raises RunError and DataError.
    """
    known = training_photos(classifier, emit)
    return Lookup(known, reader(classifier.run.split().train))
