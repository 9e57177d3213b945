"""The JSON of the server, as pydantic models: the OpenAPI document is made of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _as_unicode(name: str) -> str:
    """Bytes of a name that are not text, escaped: JSON is UTF-8."""
    return name.encode(errors="backslashreplace").decode()


Name = Annotated[str, BeforeValidator(_as_unicode)]


class Scored(BaseModel):
    """A class and its probability."""

    model_config = ConfigDict(populate_by_name=True)
    label: Name = Field(alias="class")
    probability: float = Field(ge=0, le=1)


class Near(BaseModel):
    """A training photo that is like the one sent."""

    model_config = ConfigDict(populate_by_name=True)
    label: Name = Field(alias="class", description="As it was labelled.")
    similarity: float = Field(description="In [-1, 1]; 1 for the same photo.")
    name: Name = Field(description="Of the file, without its folders.")
    image: str | None = Field(
        description="A data URI of a small JPEG; null if it cannot be read any more."
    )


class Found(Scored):
    """What a photo shows, as in `kvgg predict --json`."""

    name: Name = Field(description="Of the file, as sent.")
    calibrated: bool = Field(description="Whether a fitted temperature was applied.")
    unsure: bool = Field(description="Whether the probability is below unsure_below.")
    unsure_below: float | None
    unknown: bool = Field(description="Whether the typicality is below unknown_below.")
    unknown_below: float | None
    typicality: float | None = Field(
        description="Share of the run's validation photos that are as unlike its training photos."
    )
    top: list[Scored] = Field(description="The most probable classes, by falling probability.")
    heat: str | None = Field(
        default=None,
        description="If asked for: a data URI of a half-transparent PNG to be stretched over the "
        "upright photo; what speaks for the class, by Grad-CAM.",
    )
    similar: list[Near] | None = Field(
        default=None, description="If asked for: the training photos most like it."
    )


class Unread(BaseModel):
    """A file that cannot be read as a photo."""

    name: Name
    error: str


class Answers(BaseModel):
    """One result per file, in the order of the files."""

    run: Name
    results: list[Found | Unread]


class Model(BaseModel):
    """The run that is served, and its limits."""

    run: Name
    networks: int = Field(description="Whose probabilities are averaged: folds, or 1.")
    tta: bool = Field(description="Whether each photo and its mirror image are averaged.")
    classes: list[Name]
    arch: str
    image_size: int
    calibrated: bool
    temperature: float | None = Field(description="Null for several networks too.")
    unsure_below: float | None
    max_similar: int = Field(description="Training photos that may be asked for per photo.")
    unknown_below: float | None
    max_files: int
    max_upload_bytes: int
    max_pixels: int
    max_request_pixels: int


class Health(BaseModel):
    """`ready` comes with 200; `starting` and `stopping` with 503."""

    status: str


class Failure(BaseModel):
    """Why a request was refused."""

    error: str
