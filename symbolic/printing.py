"""Formulas as text (stand-in by structure)."""

from typing import Any


def text(term: Any) -> str:
    if hasattr(term, "name"):
        return term.name
    return f"{type(term).__name__}({', '.join(map(str, term.args))})"


latex = text
