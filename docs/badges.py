"""Draws the badges of the README, from what pyproject.toml says.

    python docs/badges.py

Writes `docs/images/badge-*.svg`; a test draws them again and compares.
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}
CHARACTER, PADDING = 6.6, 7
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" \
aria-label="{name}: {value}">
<title>{name}: {value}</title>
<clipPath id="round"><rect width="{width}" height="20" rx="3"/></clipPath>
<g clip-path="url(#round)">
<rect width="{left}" height="20" fill="#444"/>
<rect x="{left}" width="{right}" height="20" fill="#1f5fa8"/>
</g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="7" y="14" textLength="{name_length}">{name}</text>
<text x="{value_x}" y="14" textLength="{value_length}">{value}</text>
</g>
</svg>
"""


def facts() -> dict[str, str]:
    """What each badge says.

    Raises:
        ValueError: If pyproject.toml no longer says it in the form that is read here.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [keras] = [one for one in project["dependencies"] if one.startswith("keras>")]
    least = keras.removeprefix("keras>=")
    if "," in least:
        raise ValueError(f"The badge shows no upper bound. Received: {keras}")
    python = "Programming Language :: Python :: "
    tested = [
        classifier.removeprefix(python)
        for classifier in project["classifiers"]
        if classifier.startswith(f"{python}3.")
    ]
    extras = project["optional-dependencies"]
    backends = [shown for name, shown in BACKENDS.items() if name in extras]
    if not (ROOT / "keras_deeptools" / "py.typed").is_file():
        raise ValueError("The badge says that the package is typed; py.typed is gone.")
    return {
        "python": ", ".join(tested),
        "keras": f"{least} and later",
        "backends": ", ".join(backends),
        "types": "included",
        "licence": project["license"].replace("-", " "),
    }


def badge(name: str, value: str) -> str:
    """An SVG picture: the name on grey, the value on blue."""
    name_length, value_length = (round(CHARACTER * len(text)) for text in (name, value))
    left, right = name_length + 2 * PADDING, value_length + 2 * PADDING
    return SVG.format(
        name=name,
        value=value,
        width=left + right,
        left=left,
        right=right,
        name_length=name_length,
        value_length=value_length,
        value_x=left + PADDING,
    )


def main() -> None:
    """Draws all."""
    for name, value in facts().items():
        (IMAGES / f"badge-{name}.svg").write_text(badge(name, value), "utf-8")


if __name__ == "__main__":
    main()
