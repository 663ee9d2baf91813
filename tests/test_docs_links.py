"""Links from page to page, and to the headings in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for folder in ("docs", "benchmarks", "charts", "configs", "kserve", "manifests")
    for page in (ROOT / folder).rglob("*.md")
) + sorted(ROOT.glob("*.md"))
HEADING = re.compile(r"^#+ +(.+)$", re.M)
FENCED = re.compile(r"^```.*?^```", re.M | re.S)


def anchors(text: str) -> set[str]:
    """As GitHub makes them: of two equal headings the second ends in -1."""
    found: list[str] = []
    for heading in HEADING.findall(FENCED.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(f"{name}-{before}" if (before := found.count(name)) else name)
    return set(found)


def test_headings_are_told_apart() -> None:
    text = "# A `b` [c](d.md)\n## Two, three\n```\n# no heading\n```\n## Two, three\n"
    assert anchors(text) == {"a-b-c", "two-three", "two-three-1"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target.read_text("utf-8")), f"{link}: no such heading"
