"""What `data check` found, in sentences: the terminal and the page share them."""

from __future__ import annotations

from collections import Counter

from kvgg_jax.core.places import Place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.color_baseline import ColorBaseline
from kvgg_jax.data.audit.findings import COMMON, TEST, Check
from kvgg_jax.data.audit.series import Series
from kvgg_jax.data.class_balance import UNEVEN
from kvgg_jax.data.grouping import GIVEN


def facts(result: Check) -> list[tuple[str, str]]:
    """Name and sentence of each figure, for the table and the page."""
    groups = result.duplicates
    exact = sum(group.exact for group in groups)
    lines = [
        ("photos", f"{result.count:,} in {len(result.classes)} classes"),
        ("class sizes", _balance(result)),
        ("pixels", _common(result.sizes)),
        ("modes", _common(result.modes)),
        ("formats", _common(result.formats)),
        ("unreadable", str(len(result.bad) or "none")),
        ("odd", str(len(result.odd) or "none")),
        ("duplicates", f"groups: {exact} exact, {len(groups) - exact} near" if groups else "none"),
        ("contradictory", f"groups in several classes: {result.contradictory or 'none'}"),
        ("across the split", _split(result)),
    ]
    if result.series:
        lines.append(("series", _series(result.series)))
    if result.against:
        shared = f"{result.folder_leaks:,} of {result.parts['against']:,} photos are here too"
        lines.append((f"in {escape_name(result.against)}", shared))
    color = color_text(result.color).removeprefix("color alone: ")
    return [*lines, ("color alone", f"{color}. {color_advice(result)}".strip())]


def _balance(result: Check) -> str:
    items = result.classes.items()
    (few, least), (many, most) = (pick(items, key=lambda item: item[1]) for pick in (min, max))
    if least == most:
        return f"even: {least:,} each"
    if result.imbalance < UNEVEN:
        return f"nearly even: {least:,} to {most:,}"
    times = f"{result.imbalance:.1f} times the photos of {escape_name(few)}"
    return f"uneven: {escape_name(many)} has {times} ({most:,} and {least:,})"


def _common(counts: Counter[str]) -> str:
    named = ", ".join(f"{name} ({count:,})" for name, count in counts.most_common(COMMON))
    return f"{named} and {len(counts) - COMMON} more" if len(counts) > COMMON else named


def _split(result: Check) -> str:
    """On photos that are in two parts."""
    text = _training_leaks(result)
    if not result.parts[TEST]:
        return text
    return (
        f"{text}; {result.test_leaks:,} of {result.parts[TEST]:,} test photos are in another part"
    )


def _training_leaks(result: Check) -> str:
    leaks = f"{result.split_leaks:,} of {result.parts['val']:,} validation photos are in training"
    if result.how == GIVEN:
        advice = "; remove them from one part" if result.split_leaks else ""
        return f"{leaks} too (split as given){advice}"
    better = "; --split grouped prevents it" if result.split_leaks else ""
    return f"{leaks} too (--split {result.how}){better}"


def _series(series: Series) -> str:
    """On file names that say which photos belong together."""
    named = f"{series.count:,} by their file names, such as {escape_name(series.example)}"
    sides = f"{series.across:,} of them have photos on both sides of the split"
    if not series.across:
        return f"{named}; {sides}"
    return f"{named}; {sides}. --split grouped --group-by '{series.pattern}' prevents it"


def color_advice(result: Check) -> str:
    """Whether augmentation may change colors."""
    if result.color.left_out:
        return ""
    default = "leave hue and saturation alone, as it does by default."
    advice = {
        None: f"too close to tell with so few photos, so augmentation should {default}",
        True: f"color tells classes apart, so augmentation must {default}",
        False: "color does not separate the classes, so --augment-color is safe.",
    }[result.color_tells]
    return f"Guessing gives {result.chance:.4f}: {advice}"


def reason(path: Place, text: str) -> str:
    """A message on an unreadable file, without the path, which is shown beside it."""
    return text.removeprefix(f"{escape_name(path)}: ")


def color_text(color: ColorBaseline) -> str:
    """One line: what a network must beat to have learned more than color."""
    if color.left_out:
        return f"color alone: left out, because {color.left_out}"
    return (
        f"color alone: accuracy {color.class_mean:.4f} by the nearest class mean, "
        f"{color.nearest:.4f} by the nearest of {color.reference:,} training photos"
    )
