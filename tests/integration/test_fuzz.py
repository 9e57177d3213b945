"""Wrong bytes at random, of one seed: a right result or one named error."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.config import SETTINGS
from kvgg_jax.core.config_file import resolve
from kvgg_jax.core.errors import ConfigError, ImageError
from kvgg_jax.data.audit.inspect import read_header
from kvgg_jax.data.decode.image import load
from support.decodes import are_small, noted
from support.hostile import KINDS
from support.runs import small_config

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow remarks on odd files
SEED, SECONDS = 7, 3.0
SHORT, LONG = 300, 20_000
PICTURES = [
    kind.make
    for kind in KINDS.values()
    if isinstance(kind.make, bytes) and 60 < len(kind.make) < 20_000
]
SOUND = small_config(Path("photos")).to_toml().encode()
TOKENS = [  # what is legal TOML, or nearly, in places where it is not expected
    *(key.encode() for key in SETTINGS),
    *(b"[data]", b"[[train]]", b"{a = 1}", b'"""', b"'", b"= ", b"1e999", b"nan", b"-0", b"_"),
    *(b"1979-05-27T07:32:00Z", b"0x" + b"f" * 6000, b"9" * 5000, b"[" * 3000, b"a." * 3000),
    *(b"\0", b"\xff", b"\\u0000", b"\r", b"\n", b"\xef\xbb\xbf", b"{a." + b"b." * 3000 + b"c=1}"),
]
MARKERS = [b"\xff\xda", b"IDAT", b"\0\0\1\0"]  # of pictures


def spoilt(content: bytes, chance: random.Random, tokens: list[bytes]) -> bytes:
    """A few changes: a byte, a run of bytes, a cut, a piece doubled, a token put in."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(data) + 1)
        end = min(len(data), place + chance.choice((1, 1, 2, 4, 64)))
        what = chance.randrange(6)
        if what == 0:
            data[place:end] = chance.randbytes(end - place)
        elif what == 1:
            data[place:end] = chance.choice((b"\0", b"\xff")) * (end - place)
        elif what == 2:
            del data[place:end]
        elif what == 3:
            data[place:place] = data[place:end]
        elif what == 4:
            data[place:place] = chance.choice(tokens)
        elif chance.random() < 0.2:
            del data[place:]
    return bytes(data)


def spoilt_ones(kinds: Sequence[bytes], tokens: list[bytes], times: int) -> Iterator[bytes]:
    """So many, the same ones each time."""
    chance = random.Random(SEED)
    return (spoilt(chance.choice(kinds), chance, tokens) for _ in range(times))


def is_picture(content: bytes, file: Path) -> bool:
    """Whether it can be read; else it is an ImageError whose message opens with the path."""
    file.write_bytes(content)
    said, pixels = f"{file}: ", None
    try:
        pixels = load(file, 32)
    except ImageError as error:
        said = str(error)
    assert said.startswith(f"{file}: "), content
    assert said.isprintable(), content
    if pixels is None:
        return False
    assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8), content
    assert read_header(content, file).size, content  # what `data check` and the color baseline ask
    return True


def is_config(content: bytes, file: Path) -> bool:
    """Whether it is one, which can be written and read again; else the message names the file."""
    file.write_bytes(content)
    said, config = str(file), None
    try:
        config = resolve(file)
    except ConfigError as error:
        said = str(error)
    assert said.startswith(str(file)), content
    assert len(said) < 10_000, content
    if config is None:
        return False
    copy = file.with_name("copy.toml")
    copy.write_text(config.to_toml(), encoding="utf-8")
    assert resolve(copy) == config, content
    return True


def test_a_spoilt_picture_is_pixels_or_an_image_error(tmp_path: Path) -> None:
    """Of every format, sound ones and hostile ones; none is decoded twice, or is a bomb."""
    read = 0
    for content in spoilt_ones(PICTURES, MARKERS, SHORT):
        with noted() as begun:
            read += is_picture(content, tmp_path / "x")
        assert len(begun) <= 1, content
        assert are_small(begun), content
    assert SHORT / 20 < read < SHORT * 19 / 20  # or nothing but the first check was tried


def test_a_spoilt_config_file_is_a_config_or_a_config_error(tmp_path: Path) -> None:
    """Never another exception, nor a message without end."""
    read = sum(is_config(text, tmp_path / "x") for text in spoilt_ones([SOUND], TOKENS, SHORT))
    assert SHORT / 50 < read < SHORT * 19 / 20


@pytest.mark.faults
@pytest.mark.parametrize(
    ("judge", "kinds", "tokens"),
    [(is_picture, PICTURES, MARKERS), (is_config, [SOUND], TOKENS)],
    ids=["pictures", "configs"],
)
def test_many_spoilt_files_are_answered_within_seconds_each(
    judge: Callable[[bytes, Path], bool],
    kinds: list[bytes],
    tokens: list[bytes],
    tmp_path: Path,
) -> None:
    """Of processor time, so that a machine with much else to do passes."""
    read = 0
    for content in spoilt_ones(kinds, tokens, LONG):
        start = time.thread_time()
        read += judge(content, tmp_path / "x")
        assert time.thread_time() - start < SECONDS, content
    assert LONG / 50 < read < LONG * 19 / 20


CONFIGS = {
    "seed = " + "9" * 5000: (
        "{file} is not valid TOML: Exceeds the limit (4300 digits) for integer string conversion: "
        "value has 5000 digits; use sys.set_int_max_str_digits() to increase the limit."
    ),
    "seed = 0x" + "f" * 6000: "{file}: seed = (too large to show): ",
    "seed = [" + ("{" + "a." * 30 + "a = ") * 100 + "1" + "}" * 100 + "]": (
        "{file}: seed = (too large to show): "
    ),
    "seed = [{" + "a." * 3000 + "a = 1}]": (
        "{file} is not valid TOML here: a key has more than 32 parts."
    ),
    "#" * 2**16 + "\n": "{file} has more than 65536 bytes, so it is not a config file.",
}


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: text[:12])
def test_a_config_value_of_any_size_is_answered(text: str, tmp_path: Path) -> None:
    """Too many digits, too deep, too long."""
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(tmp_path / "my.toml")
    assert str(caught.value).startswith(CONFIGS[text].format(file=tmp_path / "my.toml"))


def test_a_config_that_never_ends_is_refused() -> None:
    """A device: read no further than a config file may go."""
    with pytest.raises(ConfigError) as caught:
        resolve(Path("/dev/zero"))
    assert str(caught.value) == "/dev/zero has more than 65536 bytes, so it is not a config file."
