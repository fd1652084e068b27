"""A table of text with a title, a caption and marked cells; it prints itself to a console, as Markdown and as CSV."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_WHOLE = 20
"""Length up to which words are kept on one line in a narrow console."""


@dataclass(frozen=True)
class Grid:
    """A table ready to be shown.

    Args:
        title: What it shows.
        header: Names of the columns.
        rows: Cells, as text.
        caption: How to read it.
        marked: (row, column) of the cells that stand out.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    marked: frozenset[tuple[int, int]] = frozenset()

    def to_rich(self) -> "RichTable":
        """Return the table for a console; marked cells are bold and carry a star, so that they stand out without colours too."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(self.title), caption=escape(self.caption), title_justify="left", caption_justify="left")
        for position, name in enumerate(self.header):
            numbers = self._holds_numbers(position)
            whole = not numbers and max((len(row[position]) for row in self.rows), default=0) <= _WHOLE
            table.add_column(escape(name), justify="right" if numbers else "left", overflow="fold", no_wrap=whole)
        for r, row in enumerate(self.rows):
            table.add_row(*(f"[bold]{escape(cell)}[/bold]*" if (r, c) in self.marked else escape(cell) for c, cell in enumerate(row)))
        return table

    def to_markdown(self) -> str:
        """Return the table as Markdown; marked cells are bold."""
        lines = [_line(self.header), _line(["---:" if self._holds_numbers(position) else "---" for position in range(len(self.header))])]
        for r, row in enumerate(self.rows):
            lines.append(_line([f"**{cell}**" if (r, c) in self.marked else cell for c, cell in enumerate(row)]))
        caption = f"\n\n{self.caption}" if self.caption else ""
        return f"**{self.title}**\n\n" + "\n".join(lines) + caption + "\n"

    def to_csv(self) -> str:
        """Return header and rows as CSV, without title and marks."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *self.rows])
        return text.getvalue()

    def _holds_numbers(self, position: int) -> bool:
        cells = [row[position] for row in self.rows]
        return position > 0 and any(cells) and all(_is_number(cell) for cell in cells)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _is_number(cell: str) -> bool:
    return not cell or cell == "-" or re.match(r"[+-]?\d", cell) is not None
