"""Programs as people write them who don't know this package, and what it does to them.

Each program is short, in our own words, after an idea of Keras' examples or of a
public issue, which its `source` names. `python -m tests.strangers` tries every feature
on every program, and prints the table that stands in `docs/strangers.md`.
"""

from . import (  # noqa: F401
    generative,
    own_steps,
    representation,
    series,
    tabular,
    text,
    vision,
)
