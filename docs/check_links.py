"""Find relative links that lead nowhere, in Markdown pages and in the built API pages.

python docs/check_links.py [FOLDER OF HTML PAGES]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


class _Page(HTMLParser):
    """Links and anchors of one HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the link and the anchor of a tag."""
        for name, value in attrs:
            if value and name == "href" and tag == "a":
                self.links.append(value)
            elif value and name in ("id", "name"):
                self.anchors.add(value)


def markdown_pages(root: Path = ROOT) -> list[Path]:
    """Return README.md, CONTRIBUTING.md and the pages of `docs/`."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]


def dead_links(pages: list[Path]) -> list[str]:
    """Return `page: link` for each relative link to a file or an anchor that does not exist."""
    return [f"{page}: {link}" for page in pages for link in _links(page) if not _leads_somewhere(page, link)]


def _links(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    links = _Page(text).links if page.suffix == ".html" else LINK.findall(CODE.sub("", FENCE.sub("", text)))
    for link in links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            yield link


def _leads_somewhere(page: Path, link: str) -> bool:
    parts = urlsplit(link)
    target = page.parent / unquote(parts.path) if parts.path else page
    if not target.exists():
        return False
    # pdoc's index lists a constructor that is inherited, and has no text on it.
    anchor = unquote(parts.fragment).removesuffix(".__init__")
    return not anchor or target.suffix not in (".md", ".html") or anchor in _anchors(target)


@cache  # other pages link to it hundreds of times
def _anchors(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".html":
        return _Page(text).anchors
    anchors: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        # As GitHub names the anchors of headings; a repeated heading gets a number.
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = next(n for n in range(len(text)) if (f"{name}-{n}" if n else name) not in anchors)
        anchors.add(f"{name}-{number}" if number else name)
    return anchors


def main(site: Path | None = None) -> int:
    """Print the dead links; return 1 if there are any."""
    dead = dead_links([*markdown_pages(), *(sorted(site.rglob("*.html")) if site else ())])
    sys.stderr.writelines(f"dead link in {each}\n" for each in dead)
    return int(bool(dead))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
