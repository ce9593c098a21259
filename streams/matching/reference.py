"""The reference: celpy's interpreter on the same tree (S17).

celpy decides how an expression is parsed and walked. Where celpy differs from the specification it
is overridden: operators in `reference_operators`, and here the absorption of errors, `has`,
literals, macros, and the equality conjuncts of S14. celpy's compiling runner is not used: it turns
`async` into invalid Python and writes into module globals.

A step of celpy weighs some hundred times a compiled one, in the same table of weights (S37). As
there, a part is charged when its evaluation begins, and the items of a list when it is walked.
"""

from collections.abc import Callable, Iterator
from typing import Final, cast

from celpy.celtypes import BoolType, ListType, MapType, StringType, Value
from celpy.evaluation import Activation, CELEvalError, Evaluator, Result
from lark import Token

from streams.errors import EvaluationError
from streams.matching import budget, limits
from streams.matching.budget import Cost, Meter
from streams.matching.canonical import Document
from streams.matching.grammar import Syntax, span_of
from streams.matching.nodes import Macro, Node, Span
from streams.matching.parse import literal_value
from streams.matching.projection import project, projection_of
from streams.matching.reference_macros import MACRO_RESULTS
from streams.matching.reference_operators import charged_functions
from streams.matching.reference_types import to_cel
from streams.matching.vocabulary import MACROS

# What celpy may raise besides its own error.
_FAULTS: Final = (
    CELEvalError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)


class Program:
    """An expression for celpy to evaluate."""

    __slots__ = ("_conjuncts", "_items", "_root", "_trees")

    def __init__(self, trees: dict[Span, Syntax], root: Node, conjuncts: frozenset[Span]) -> None:
        self._trees = trees
        self._root = root
        self._conjuncts = conjuncts
        self._items = dict(_items(root))

    def evaluate(self, event: Document, async_: Document | None, meter: Meter) -> bool:
        """Give the verdict on two events.

        Raises:
            EvaluationError: There is no answer, or it is no boolean (S16).
            BudgetError: It takes too much (S37).
        """
        value = self._value(self._root, event, async_, meter)
        if isinstance(value, BoolType):
            return bool(value)
        raise EvaluationError("the result is not a boolean")

    def closure(self, node: Node) -> Callable[[Document, Document | None, Meter], object]:
        """Give a closure for a part that is not compiled: of a boolean, or a celpy value."""
        of_event, of_async = projection_of(node, "event"), projection_of(node, "async")

        def evaluate(event: Document, async_: Document | None, meter: Meter) -> object:
            value = self._value(node, project(event, of_event), project(async_, of_async), meter)
            return bool(value) if isinstance(value, BoolType) else value

        return evaluate

    def _value(self, node: Node, event: Document, async_: Document | None, meter: Meter) -> Value:
        try:
            meter.charge(sum(_by_reference(node)))
            context = {"event": to_cel(event, meter), "async": to_cel(async_, meter)}
            activation = Activation(functions=charged_functions(meter))
            tree = self._trees[node.span]
            evaluator = _Evaluator(tree, activation, meter, self._items, self._conjuncts)
            return evaluator.evaluate(context)
        except _FAULTS as fault:
            raise EvaluationError(_reason(fault)) from None


def _items(node: Node) -> Iterator[tuple[Span, Cost]]:
    """What the macros of an expression take per item, by the place of their bodies."""
    if isinstance(node, Macro):
        item = budget.cost_of_item(node)
        yield node.body.span, Cost(item.time * budget.REFERENCE, item.made * budget.REFERENCE_MADE)
    for child in node.children():
        yield from _items(child)


def _by_reference(node: Node) -> Cost:
    cost = budget.cost_of(node)
    return Cost(cost.time * budget.REFERENCE, cost.made * budget.REFERENCE_MADE)


def _reason(fault: BaseException) -> str:
    return f"{fault.args[0] if fault.args else type(fault).__name__!s:.200}"


class _Evaluator(Evaluator):
    def __init__(
        self,
        ast: Syntax,
        activation: Activation,
        meter: Meter,
        items: dict[Span, Cost],
        conjuncts: frozenset[Span] = frozenset(),
    ) -> None:
        super().__init__(ast, activation)
        self._meter = meter
        self._items = items
        self._conjuncts = conjuncts

    def sub_evaluator(self, ast: Syntax) -> Evaluator:
        """Give celpy an evaluator of our own for the body of a macro."""
        return _Evaluator(ast, self.activation, self._meter, self._items)

    def conditionaland(self, tree: Syntax) -> Result:
        """Answer false if an operand is false, else an error if an operand is an error."""
        return self._chain(tree, absorbing=False)

    def conditionalor(self, tree: Syntax) -> Result:
        """Answer true if an operand is true, else an error if an operand is an error."""
        return self._chain(tree, absorbing=True)

    def _chain(self, tree: Syntax, *, absorbing: bool) -> Result:
        """Walk a left-deep chain in a loop: celpy recurses five frames for each operand."""
        operands = []
        current = tree
        while current.data == tree.data:
            operands.append(cast("Syntax", current.children[1]))
            current = cast("Syntax", current.children[0])
        operands.append(current)
        result: Result = BoolType(not absorbing)
        for operand in reversed(operands):
            value = self.visit(operand)
            if not isinstance(value, BoolType):
                result = CELEvalError("no such overload for && or ||")
            elif bool(value) is absorbing:
                return value
        return result

    def relation(self, tree: Syntax) -> Result:
        """Compare; an equality conjunct is false if a side is missing or null (S14)."""
        if span_of(tree) not in self._conjuncts:
            return cast("Result", super().relation(tree))
        operator, right_tree = cast("list[Syntax]", tree.children)
        left, right = self.visit(cast("Syntax", operator.children[0])), self.visit(right_tree)
        for side in (left, right):
            if side is None or isinstance(side, CELEvalError):
                return BoolType(0)
        return self.activation.resolve_function("_==_")(left, right)

    def literal(self, tree: Syntax) -> Result:
        """Read a literal as our parser does: celpy drops newlines in triple-quoted strings."""
        return to_cel(literal_value(cast("Token", tree.children[0])), self._meter)

    def mapinits(self, tree: Syntax) -> Result:
        """Build a map; its keys are strings that differ, and an error in it is the result."""
        parts = self.visit_children(tree)
        made = MapType()
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            for part in (key, value):
                if isinstance(part, CELEvalError):
                    return part
            if not isinstance(key, StringType) or key in made:
                return CELEvalError("the keys of a map are strings that differ")
            made[key] = cast("Value", value)
        return made

    def macro_has_eval(self, exprlist: Syntax) -> BoolType:
        """Answer whether the member exists; an error of its container stays an error, as in CEL."""
        member_tree = cast("Syntax", exprlist.children[0])
        container = self.visit(cast("Syntax", member_tree.children[0]))
        if isinstance(container, MapType):
            return BoolType(str(member_tree.children[1]) in set(container))
        return cast("BoolType", CELEvalError("has: no such overload"))

    def member_dot_arg(self, tree: Syntax) -> Result:
        """Call a method or macro; its errors become values, so that `||` can absorb them."""
        try:
            if str(tree.children[1]) in MACROS:
                return self._macro(tree)
            return cast("Result", super().member_dot_arg(tree))
        except _FAULTS as fault:
            return CELEvalError(_reason(fault))

    def _macro(self, tree: Syntax) -> Result:
        receiver = self.visit(cast("Syntax", tree.children[0]))
        if isinstance(receiver, CELEvalError):
            return receiver
        if not isinstance(receiver, ListType | MapType):
            return CELEvalError("a macro needs a list or a map")
        variable, body = cast("list[Syntax]", cast("Syntax", tree.children[2]).children)
        self._meter.limit_items(len(receiver), limits.REFERENCE_ITEMS)
        each = self._items[span_of(body)]
        self._meter.walk(len(receiver), Cost(each.time * 2, each.made))
        name = str(cast("Syntax", variable.children[0]).children[0])
        evaluator = self.sub_evaluator(body)
        results = (_caught(evaluator, name, item) for item in receiver)
        return MACRO_RESULTS[str(tree.children[1])](list(receiver), results)


def _caught(evaluator: Evaluator, name: str, item: Value) -> Result:
    try:
        return evaluator.evaluate({name: item})
    except _FAULTS as fault:
        return CELEvalError(_reason(fault))
