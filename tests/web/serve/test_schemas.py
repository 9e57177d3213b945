"""The JSON of responses: names of any bytes are text in it."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from kvgg_jax.web.serve.schemas import Found, Scored, Unread


def test_bytes_of_a_name_that_are_not_text_are_escaped() -> None:
    """JSON is UTF-8, names of files and classes need not be."""
    one = Unread(name="caf\udce9.png", error="is empty")
    assert one.model_dump_json() == r'{"name":"caf\\udce9.png","error":"is empty"}'


def test_a_result_has_the_keys_of_predict() -> None:
    """A class is called `class`, which is no name in Python."""
    found = Found.model_validate(
        {
            **{"class": "red", "probability": 0.75, "name": "a.png", "calibrated": False},
            **{"unsure": False, "unsure_below": None, "top": [{"class": "red", "probability": 1}]},
            **{"unknown": False, "unknown_below": 0.05, "typicality": 0.5},
        }
    )
    assert (found.label, found.top) == ("red", [Scored(label="red", probability=1)])
    assert list(found.model_dump(by_alias=True)) == [
        *("class", "probability", "name", "calibrated", "unsure", "unsure_below"),
        *("unknown", "unknown_below", "typicality", "top", "heat", "similar"),
    ]
