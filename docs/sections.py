"""Pages of which a part is generated: what stands between `<!-- generated: NAME -->` and `<!-- end -->`."""

from __future__ import annotations


def with_section(page: str, name: str, text: str) -> str:
    """The page with its section of that name made anew.

    Raises:
        ValueError: there is no such section.
    """
    start, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
    head, found, rest = page.partition(start)
    if not found or end not in rest:
        raise ValueError(f"a page has no section between {start.strip()} and {end}")
    return head + start + text + rest[rest.index(end) :]


def section_of(page: str, name: str) -> str:
    """What the section holds."""
    text: str = page.partition(f"<!-- generated: {name} -->\n")[2].partition("<!-- end -->")[0]
    return text
