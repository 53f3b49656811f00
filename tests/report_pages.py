"""Reads pages as a browser would, as far as tests need it."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = ("meta", "br", "link", "img")


class PageReader(HTMLParser):
    """The elements of a page, its text, and whether they close in order.

    Attributes:
        elements: List of pairs of a name and a dict of attributes.
        texts: List of str, without those of the style sheet.
        left_open: Names of elements that are not closed.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.left_open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.left_open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.left_open and self.left_open[-1] == tag
        self.left_open.pop()

    def handle_data(self, data: str) -> None:
        if self.left_open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All text that is shown, and what is said of charts."""
        return " ".join(self.texts)

    def values(self, attribute: str) -> list[str]:
        """Every value of an attribute, in order."""
        return [its[attribute] for _, its in self.elements if attribute in its]

    def names(self) -> list[str]:
        """The names of all elements."""
        return [name for name, _ in self.elements]


def charts_of(page: str) -> list[ElementTree.Element]:
    """Every `<svg>` of a page, read as XML."""
    found = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    spaces = (
        '<svg xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" '
    )
    return [ElementTree.fromstring(one.replace("<svg ", spaces, 1)) for one in found]
