"""Reads and runs the pages about findings, and writes what their examples print.

`python tests/findings_pages.py` writes the outputs of all pages, and with names, as
`python tests/findings_pages.py data start`, of these.
"""

import contextlib
import io
import re
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "findings"
BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"(^```python\n.*?^```\n)(?:\n```text\n.*?^```\n)?", re.M | re.S)
WIDTH = 88


@dataclass
class Section:
    """What stands below one heading of a page, or before the first one.

    Attributes:
        heading: Str, the kind of finding; empty before the first one.
        text: Str, with the heading.
        printed: List of str, what each block printed.
    """

    heading: str
    text: str
    printed: list[str] = field(default_factory=list)

    @property
    def blocks(self) -> list[str]:
        """The Python blocks that are run."""
        return BLOCK.findall(self.text)


def sections_of(page: str) -> list[Section]:
    """The sections of a page, the one before the first heading included.

    Args:
        page: Str, name of the file without its suffix.
    """
    text = (FOLDER / f"{page}.md").read_text("utf-8")
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    headings = [part.partition("\n")[0].removeprefix("## ") for part in parts]
    found = [Section(*pair) for pair in zip(headings, parts, strict=True)]
    found[0].heading = ""
    return found


def run(sections: list[Section], name: str) -> None:
    """Runs the blocks in order, as a reader would, and notes what they print."""
    namespace: dict[str, object] = {"__name__": "__page__"}
    for section in sections:
        for block in section.blocks:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                code = compile(block, f"{name}.md: {section.heading}", "exec")
                exec(code, namespace)
            section.printed.append(printed.getvalue())


def with_outputs(section: Section) -> str:
    """The text of a section that was run, with what its blocks printed below them."""
    printed = iter(section.printed)

    def write(found: re.Match[str]) -> str:
        lines = [wrapped(line) for line in next(printed).splitlines()]
        text = "\n".join(lines)
        return found[1] + (f"\n```text\n{text}\n```\n" if lines else "")

    return OUTPUT.sub(write, section.text)


def wrapped(line: str) -> str:
    """A line that fits, the rest of it below its text."""
    start = len(line) - len(line.lstrip())
    label = re.match(r" +(seen|remedy|code|source|causes) +", line)
    indent = " " * (len(label[0]) if label else start + 2)
    return "\n".join(
        textwrap.wrap(
            line,
            WIDTH,
            subsequent_indent=indent,
            drop_whitespace=True,
            break_long_words=False,
            break_on_hyphens=False,
        )
        or [""]
    )


def main(names: list[str]) -> None:
    """Writes the outputs of pages into them, and says what took how long."""
    for name in names or sorted(path.stem for path in FOLDER.glob("*.md")):
        began = time.process_time()
        sections = sections_of(name)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            run(sections, name)
        text = "".join(map(with_outputs, sections))
        (FOLDER / f"{name}.md").write_text(text, "utf-8")
        print(f"{name}: {time.process_time() - began:.1f} s of CPU")


if __name__ == "__main__":
    main(sys.argv[1:])
