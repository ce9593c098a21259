"""Where in the text of an expression something is wrong."""

from streams.errors import ExpressionError


def refuse(text: str, position: int, message: str) -> ExpressionError:
    """Build the error that names the place by offset, line and column, the last two from 1."""
    position = min(position, len(text))
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return ExpressionError(message, position=position, line=line, column=column)
