"""Writes the README into the package's metadata as the package index can show it.

Only metadata travel to the index: a link into the repository leads nowhere there. Where
`[project.urls]` has a `Repository`, links and pictures are given its address; where it
has none, links become text and pictures are left out.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINKED_PICTURE = re.compile(r"\[(!\[[^\]]*\]\([^)\s]+\))\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)\s]+)\)")
LINK = re.compile(
    r"(?<!!)\[((?:!\[[^\]]*\]\([^)]*\)|[^\[\]])*)\]\((?!https?:|#)([^)\s]+)\)"
)
CAPTION = re.compile(r"(?<=\n)\*[^*\n][^*]*\*\n\n")


def index_page(readme: str, repository: str | None) -> str:
    """The README with no link that is relative.

    Args:
        readme: Str, Markdown.
        repository: Str, address of the repository, or None where it has none yet.
    """
    if repository is not None:
        base = repository.rstrip("/")
        readme = PICTURE.sub(rf"![\1]({base}/raw/HEAD/\2)", readme)
        return LINK.sub(rf"[\1]({base}/blob/HEAD/\2)", readme)
    readme = LINKED_PICTURE.sub("", readme)
    # A picture on a line of its own goes with its line and its caption.
    readme = re.sub(rf"(?m)^{PICTURE.pattern}\n(?:\n(?=\*))?", "", readme)
    readme = CAPTION.sub("", readme)
    return LINK.sub(r"\1", readme)


class CustomMetadataHook(MetadataHookInterface):
    """What hatchling calls when it writes the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Adds the README."""
        text = Path(self.root, "README.md").read_text("utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": index_page(text, repository),
        }
