"""The place of an error in the text of an expression."""

from streams.errors import ExpressionError


def refuse(text: str, position: int, message: str) -> ExpressionError:
    """Build an error for an offset in the text, with the line and column, both from 1."""
    position = min(position, len(text))
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return ExpressionError(message, position=position, line=line, column=column)
