"""Figures as markdown tables, ready for the docs."""

from collections.abc import Sequence


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of a table; the first column is text, the others are aligned to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def figure(value: float | None, *, digits: int = 3) -> str:
    """A number for a table; nothing to say is a dash."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"
