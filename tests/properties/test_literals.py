"""Strings of expressions: the check of a text, and celpy's parser, read the same."""

from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from lark import Token

from streams.errors import ExpressionError
from streams.matching import lexer
from streams.matching.grammar import syntax_of

QUOTES = ("'", '"', "'''", '"""')
PIECES = (*QUOTES, "\\", "\\\\", "n", "x41", "`", ",", " ", "\n", " in ", " + ")
literals = st.builds(
    "{0}{1}{2}{1}".format,
    st.sampled_from(("", "r", "R")),
    st.sampled_from(QUOTES),
    st.lists(st.sampled_from(PIECES), max_size=3).map("".join),
)


def strings_of_parser(text: str) -> list[tuple[int, str]]:
    """Place and text of each string and quoted name that the parser reads."""
    found = []
    for token in syntax_of(text).scan_values(lambda value: isinstance(value, Token)):
        start, end = token.start_pos or 0, token.end_pos or 0
        if token.type in {"STRING_LIT", "MLSTRING_LIT"} or text[start] == "`":
            found.append((start, text[start:end]))
    return sorted(found)


@settings(max_examples=1_000, deadline=None)
@given(st.lists(literals, max_size=3).map(", ".join))
@example(r"'a', r'\', r'\'")
@example(r"r'''\''', r'''\'''")
@example(r"""'\'', "\"", '''\''' ''', '\\'""")
@example("n.`x41`, n.`n n`")
@example("'''a''', '' in ''")
def test_both_read_the_same_strings(inside: str) -> None:
    """Otherwise a string would have one value when it is checked and another when evaluated."""
    text = f"[{inside}]"
    try:
        lexer.check(text)
        parsed = strings_of_parser(text)
    except ExpressionError:
        return
    tokens = [token for token in lexer._tokens(text) if token.kind in {"string", "quoted"}]
    event("with strings" if tokens else "without strings")
    assert parsed == [(token.position, token.text) for token in tokens]
