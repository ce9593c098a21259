"""Turns the text of an expression into its syntax tree; checks every limit and name."""

from typing import Final, NoReturn, cast

from lark import Token

from streams.errors import ExpressionError
from streams.matching import lexer, limits
from streams.matching.grammar import Syntax, span_of, syntax_of
from streams.matching.nodes import (
    And,
    Binary,
    Call,
    Has,
    Index,
    ListNode,
    Literal,
    Macro,
    MapNode,
    Member,
    Node,
    Or,
    Reference,
    Span,
    Ternary,
    Unary,
)
from streams.matching.places import refuse
from streams.matching.vocabulary import (
    FUNCTIONS,
    GIVEN_PATTERN,
    MACROS,
    METHODS,
    SYNONYMS,
    Arities,
    fault_of_argument,
    fault_of_call,
)

_OPERATORS: Final = {
    "relation_lt": "<",
    "relation_le": "<=",
    "relation_gt": ">",
    "relation_ge": ">=",
    "relation_eq": "==",
    "relation_ne": "!=",
    "relation_in": "in",
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
}


class Parser:
    """Turns celpy's tree of one text into nodes; `trees` has celpy's tree of each span."""

    def __init__(self, text: str, variables: frozenset[str]) -> None:
        self.trees: dict[Span, Syntax] = {}
        self._text = text
        self._variables = variables
        self._bound: tuple[str, ...] = ()  # the variables of the macros around
        self._nodes = 0

    def parse(self) -> Node:
        """Check and parse the text.

        Raises:
            ExpressionError: It says what is wrong, where, and what to do.
        """
        lexer.check(self._text)
        try:
            return self._node(syntax_of(self._text), 1)
        except RecursionError:
            raise refuse(self._text, 0, "nested too deeply: remove brackets") from None

    def _node(self, tree: Syntax, depth: int) -> Node:
        span = span_of(tree)
        if depth > limits.NESTING:
            self._refuse(tree, f"nested over {limits.NESTING} levels: split the rule in several")
        assert span not in self.trees, "two parts of an expression at one place"
        self.trees[span] = tree
        if tree.data in {"relation", "addition", "multiplication"}:
            node = self._binary(tree, depth)
        else:
            node = getattr(self, f"_{tree.data}", self._unsupported)(tree, depth)
        self._nodes += node.weight
        if self._nodes > limits.NODES:
            self._refuse(tree, f"over {limits.NODES} nodes: split the rule in several")
        return node

    def _refuse(self, tree: Syntax, message: str) -> NoReturn:
        raise self._error(tree, message)

    def _error(self, tree: Syntax, message: str) -> ExpressionError:
        return refuse(self._text, span_of(tree)[0], message)

    def _unsupported(self, tree: Syntax, _depth: int) -> Node:
        raise self._error(tree, "messages and package names have no meaning for JSON")

    def _subtree(self, tree: Syntax, index: int) -> Syntax:
        return cast("Syntax", tree.children[index])

    # Operators.

    def _chain(self, tree: Syntax) -> list[Syntax]:
        """Give the operands of a && b && c, brackets ignored, in the order of the text."""
        operands: list[Syntax] = []
        pending = [tree]
        while pending:
            current = pending.pop()
            if current.data == tree.data:
                pending.extend(cast("list[Syntax]", current.children))
            else:
                operands.append(current)
        return operands[::-1]

    def _conditionaland(self, tree: Syntax, depth: int) -> Node:
        operands = tuple(self._node(operand, depth + 1) for operand in self._chain(tree))
        return And(span_of(tree), operands)

    def _conditionalor(self, tree: Syntax, depth: int) -> Node:
        operands = tuple(self._node(operand, depth + 1) for operand in self._chain(tree))
        return Or(span_of(tree), operands)

    def _binary(self, tree: Syntax, depth: int) -> Node:
        operator = self._subtree(tree, 0)
        left = self._node(self._subtree(operator, 0), depth + 1)
        right = self._node(self._subtree(tree, 1), depth + 1)
        return Binary(span_of(tree), _OPERATORS[operator.data], left, right)

    def _unary(self, tree: Syntax, depth: int) -> Node:
        operator = "!" if self._subtree(tree, 0).data == "unary_not" else "-"
        operand = self._subtree(tree, 1)
        # A literal and its sign are one level: CEL takes 32 signs in a row.
        is_literal = operand.data == "primary" and self._subtree(operand, 0).data == "literal"
        return Unary(span_of(tree), operator, self._node(operand, depth + (not is_literal)))

    def _expr(self, tree: Syntax, depth: int) -> Node:
        condition, then, otherwise = (
            self._node(self._subtree(tree, index), depth + 1) for index in range(3)
        )
        return Ternary(span_of(tree), condition, then, otherwise)

    # Members.

    def _member_dot(self, tree: Syntax, depth: int) -> Node:
        operand = self._node(self._subtree(tree, 0), depth + 1)
        name = str(tree.children[1])
        if isinstance(operand, Reference):
            return self._extended(tree, operand, name)
        return Member(span_of(tree), operand, name)

    def _member_index(self, tree: Syntax, depth: int) -> Node:
        operand = self._node(self._subtree(tree, 0), depth + 1)
        index = self._node(self._subtree(tree, 1), depth + 1)
        if isinstance(operand, Reference) and isinstance(index, Literal):
            segment = index.value
            whole = isinstance(segment, int) and not isinstance(segment, bool) and segment >= 0
            if isinstance(segment, str) or whole:
                self._nodes -= index.weight
                return self._extended(tree, operand, cast("str | int", segment))
        return Index(span_of(tree), operand, index)

    def _extended(self, tree: Syntax, operand: Reference, segment: str | int) -> Node:
        self._nodes -= operand.weight
        return Reference(span_of(tree), operand.variable, (*operand.path, segment))

    def _member_dot_arg(self, tree: Syntax, depth: int) -> Node:
        arguments = self._arguments(tree, 2)
        if str(tree.children[1]) in MACROS:
            return self._macro(tree, arguments, depth)
        name = self._check_call(tree, "method", METHODS, arguments)
        return self._call(tree, name, [self._subtree(tree, 0), *arguments], depth)

    def _macro(self, tree: Syntax, arguments: list[Syntax], depth: int) -> Node:
        name = self._check_call(tree, "macro", MACROS, arguments)
        receiver = self._node(self._subtree(tree, 0), depth + 1)
        variable = self._macro_variable(arguments[0])
        outer = self._bound
        if len(outer) == limits.MACROS:
            self._refuse(
                tree, f"macros nested over {limits.MACROS} levels: split the rule in several"
            )
        self._bound = (*outer, variable)
        body = self._node(arguments[1], depth + 1)
        self._bound = outer
        return Macro(span_of(tree), name, receiver, variable, body)

    def _macro_variable(self, tree: Syntax) -> str:
        inner = self._subtree(tree, 0)
        if tree.data != "primary" or inner.data != "ident":
            self._refuse(tree, "the first argument of a macro is the name of its variable")
        name = str(inner.children[0])
        if name in self._variables or name in FUNCTIONS:
            self._refuse(tree, f"{name} is taken: choose another name for the macro's variable")
        return name

    # Primaries.

    def _primary(self, tree: Syntax, depth: int) -> Node:
        inner = self._subtree(tree, 0)
        method = getattr(self, f"_{inner.data}", self._unsupported)
        return cast("Node", method(inner, depth))

    def _literal(self, tree: Syntax, _depth: int) -> Node:
        return Literal(span_of(tree), literal_value(cast("Token", tree.children[0])))

    def _ident(self, tree: Syntax, _depth: int) -> Node:
        name = str(tree.children[0])
        if name not in self._variables and name not in self._bound:
            known = " and ".join(sorted(self._variables))
            self._refuse(tree, f"unknown variable {name}: this expression reads {known}")
        return Reference(span_of(tree), name, ())

    def _list_lit(self, tree: Syntax, depth: int) -> Node:
        items = tuple(self._node(item, depth + 1) for item in self._arguments(tree, 0))
        return ListNode(span_of(tree), items)

    def _map_lit(self, tree: Syntax, depth: int) -> Node:
        entries = self._arguments(tree, 0)
        keys: list[str | Node] = []
        for entry in entries[::2]:
            key = self._key(entry, depth + 1)
            if isinstance(key, str) and key in keys:
                self._refuse(entry, f"the key {key!r} stands twice in the map")
            keys.append(key)
        items = tuple(self._node(item, depth + 1) for item in entries[1::2])
        return MapNode(span_of(tree), tuple(keys), items)

    def _key(self, tree: Syntax, depth: int) -> str | Node:
        key = self._node(tree, depth)
        if not isinstance(key, Literal):
            return key
        if type(key.value) is not str:
            self._refuse(tree, "the key of a map is a string, as in JSON")
        return key.value

    def _ident_arg(self, tree: Syntax, depth: int) -> Node:
        arguments = self._arguments(tree, 1)
        if tree.children[0] == "has":
            return self._has(tree, arguments, depth)
        name = self._check_call(tree, "function", FUNCTIONS, arguments)
        if name == "dyn":  # it says something to checkers of types alone
            operand = self._node(arguments[0], depth + 1)
            self._nodes -= operand.weight
            return operand
        return self._call(tree, name, arguments, depth)

    def _has(self, tree: Syntax, arguments: list[Syntax], depth: int) -> Node:
        if len(arguments) != 1 or arguments[0].data != "member_dot":
            self._refuse(tree, "has takes one member, as in has(event.data.id)")
        operand = self._node(self._subtree(arguments[0], 0), depth + 1)
        return Has(span_of(tree), operand, str(arguments[0].children[1]))

    def _arguments(self, tree: Syntax, index: int) -> list[Syntax]:
        if len(tree.children) <= index:
            return []
        return cast("list[Syntax]", self._subtree(tree, index).children)

    def _check_call(self, tree: Syntax, kind: str, known: Arities, arguments: list[Syntax]) -> str:
        """Give the name of a call that is known and has the right number of arguments."""
        token = cast("Token", tree.children[_place_of_name(tree)])
        fault = fault_of_call(kind, known, str(token), len(arguments))
        if fault:
            raise refuse(self._text, token.start_pos or 0, fault)
        name = str(token)
        return _renamed(tree, SYNONYMS[name]) if name in SYNONYMS else name

    def _call(self, tree: Syntax, name: str, arguments: list[Syntax], depth: int) -> Node:
        nodes = tuple(self._node(item, depth + 1) for item in arguments)
        fault = fault_of_argument(name, nodes[-1])
        if fault:
            self._refuse(arguments[-1], fault)
        if name == "matches" and not isinstance(nodes[-1], Literal):
            name = _renamed(tree, GIVEN_PATTERN)
        return Call(span_of(tree), name, nodes)


def _place_of_name(tree: Syntax) -> int:
    """Say which child of a call is its name: a method's stands behind its receiver."""
    return 0 if tree.data == "ident_arg" else 1


def _renamed(tree: Syntax, name: str) -> str:
    """Give a call another name, also in celpy's tree."""
    place = _place_of_name(tree)
    tree.children[place] = cast("Token", tree.children[place]).update(value=name)
    return name


def literal_value(token: Token) -> object:
    """Give the Python value of a literal that the lexer has accepted."""
    text = str(token)
    if token.type in {"STRING_LIT", "MLSTRING_LIT"}:
        return lexer.decode(text)
    if token.type == "INT_LIT":
        return int(text, 16 if "0x" in text else 10)
    if token.type == "FLOAT_LIT":
        return float(text)
    return {"true": True, "false": False, "null": None}[text]
