"""Choosing runs by a boolean expression over the columns of the run table.

::

    P1 > 0.9 and learning_rate < 0.01          0.1 < dropout <= 0.3 or not nesterov
    optimizer in ["sgd", "adam"]               log10(learning_rate) + 2 * momentum > -1
    top 10 P1        bottom 10 P1              runs 0-4,9
    top 20 combined and session == "grid"      `weight norm` > 3
    P1 > mean(P1)                              max(validation_accuracy) > 0.9

The text is parsed with Python's grammar into a tree of which only the nodes named here are walked;
nothing is ever executed. A missing value (NaN) fulfils no comparison, not even ``!=``. Numbers are
equal when they agree to nine digits. ``max``, ``min``, ``mean`` and ``median`` are of all runs,
``top`` and ``bottom`` choose among all runs, ties by run.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pvensemble import schema
from pvensemble.errors import ExpressionError, did_you_mean
from pvensemble.numerics.runs import parse_runs

MAX_LENGTH = 5000
"""Longest expression, in characters; `runs` lists may be long."""
MAX_DEPTH = 60
"""Deepest nesting."""


def _known(reduce: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of all runs, of those values that are known; NaN where none is."""

    def function(values: np.ndarray) -> np.ndarray:
        known = values[~np.isnan(values)]
        return np.float64(reduce(known)) if known.size else np.float64("nan")

    return function


FUNCTIONS = {
    "log10": np.log10,
    "log2": np.log2,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "max": _known(np.max),
    "min": _known(np.min),
    "mean": _known(np.mean),
    "median": _known(np.median),
}
_OPERATORS = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_ORDERINGS = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_BITWISE = {ast.BitAnd: ("&", "and"), ast.BitOr: ("|", "or"), ast.BitXor: ("^", "**")}

_SPECIAL = re.compile(
    r"""(?P<text>"[^"\n]*"|'[^'\n]*')
    |`(?P<quoted>[^`]+)`
    |\b(?P<end>top|bottom)\s+(?P<count>\d+)\s+(?:`(?P<by_quoted>[^`]+)`|(?P<by>[A-Za-z_]\w*))
    |\bruns\s+(?P<runs>\d[\d\s,-]*)""",
    re.VERBOSE,
)


def evaluate(expression: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Tell which runs fulfil an expression.

    Parameters
    ----------
    expression : str
        See the module.
    columns : mapping of str to (n_runs,) array
        Columns of the run table: numbers, or texts as numpy str.

    Returns
    -------
    (n_runs,) bool

    Raises
    ------
    ExpressionError
        When the text does not parse, uses anything that is not named in the module, names an
        unknown column, or compares texts with numbers.
    """
    return _Evaluation(expression, columns).result()


class _Evaluation:
    """One expression on one table."""

    def __init__(self, expression: str, columns: Mapping[str, np.ndarray]) -> None:
        self.expression = expression.strip()
        self.columns = columns
        self.n_runs = len(next(iter(columns.values()))) if len(columns) else 0
        self.special: dict[str, Any] = {}

    def result(self) -> np.ndarray:
        with np.errstate(all="ignore"):
            chosen = self._truth(self._value(self._tree(), 0))
        return np.broadcast_to(chosen, (self.n_runs,)).copy()

    def _error(self, message: str) -> ExpressionError:
        shown = self.expression if len(self.expression) < 80 else self.expression[:77] + "…"
        return ExpressionError(f"expression {shown!r}: {message}")

    # -- parsing --------------------------------------------------------------------------------
    def _tree(self) -> ast.expr:
        if not self.expression:
            raise self._error("it is empty; write for example 'P1 > 0.9' or 'top 10 P1'")
        if len(self.expression) > MAX_LENGTH:
            raise self._error(f"it is longer than {MAX_LENGTH} characters")
        text = " ".join(_SPECIAL.sub(self._special, self.expression).split())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about escapes in texts
                return ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            hint = ""
            if re.search(r"(?<![<>=!])=(?!=)", text):
                hint = " (equality is written ==)"
            reason = getattr(error, "msg", None) or "it is nested too deeply"
            raise self._error(f"it cannot be read: {reason}{hint}") from None

    def _special(self, match: re.Match) -> str:
        """Replace what Python's grammar does not know by a name that stands for its value."""
        if match["text"] is not None:
            value: Any = match["text"][1:-1]
        elif match["quoted"] is not None:
            value = self._column(match["quoted"])
        elif match["runs"] is not None:
            value = self._runs(match["runs"])
        else:
            value = self._extreme(
                match["end"], int(match["count"]), match["by"] or match["by_quoted"]
            )
        name = f"__special_{len(self.special)}"
        self.special[name] = value
        return f" {name} "

    def _runs(self, text: str) -> np.ndarray:
        index = self.columns.get(schema.RUN_INDEX)
        index = np.arange(self.n_runs) if index is None else np.asarray(index)
        return np.isin(index, parse_runs(text, int(index.max()) + 1 if len(index) else 0))

    def _extreme(self, end: str, count: int, name: str) -> np.ndarray:
        values = self._column(name)
        if values.dtype.kind in "US":
            raise self._error(f"{end} {count} needs a column of numbers, {name!r} holds texts")
        values = np.asarray(values, np.float64)
        known = np.flatnonzero(~np.isnan(values))
        ranked = known[np.argsort(-values[known] if end == "top" else values[known], kind="stable")]
        chosen = np.zeros(self.n_runs, bool)
        chosen[ranked[:count]] = True
        return chosen

    def _column(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise self._error(f"there is no column {name!r}{did_you_mean(name, self.columns)}")
        return np.asarray(self.columns[name])

    # -- evaluation -----------------------------------------------------------------------------
    def _value(self, node: ast.AST, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self._error("it is nested too deeply")
        method = getattr(self, "_" + type(node).__name__.lower(), None)
        if method is None:
            raise self._error(
                "only comparisons, and, or, not, in, arithmetic, "
                f"{', '.join(FUNCTIONS)}, top, bottom and runs are allowed"
            )
        return method(node, depth + 1)

    def _boolop(self, node: ast.BoolOp, depth: int) -> np.ndarray:
        parts = [self._truth(self._value(value, depth)) for value in node.values]
        combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return combine.reduce(np.broadcast_arrays(*parts))

    def _unaryop(self, node: ast.UnaryOp, depth: int) -> Any:
        value = self._value(node.operand, depth)
        if isinstance(node.op, ast.Not):
            return ~self._truth(value)
        if isinstance(node.op, ast.Invert):
            raise self._error("write 'not' instead of '~'")
        return -self._number(value) if isinstance(node.op, ast.USub) else self._number(value)

    def _binop(self, node: ast.BinOp, depth: int) -> Any:
        if type(node.op) in _BITWISE:
            wrong, right = _BITWISE[type(node.op)]
            raise self._error(f"write {right!r} instead of {wrong!r}")
        if type(node.op) not in _OPERATORS:
            raise self._error("of the arithmetic operators only + - * / ** are allowed")
        left, right = (self._number(self._value(side, depth)) for side in (node.left, node.right))
        return _OPERATORS[type(node.op)](left, right)

    def _compare(self, node: ast.Compare, depth: int) -> np.ndarray:
        holds = np.True_
        left = self._value(node.left, depth)
        for operator, right_node in zip(node.ops, node.comparators):
            if isinstance(operator, (ast.In, ast.NotIn)):
                inside = self._inside(left, right_node, depth)
                holds = holds & (inside if isinstance(operator, ast.In) else ~inside)
                right = inside
            else:
                right = self._value(right_node, depth)
                holds = holds & self._holds(operator, left, right)
            left = right
        return holds

    def _inside(self, left: Any, node: ast.AST, depth: int) -> np.ndarray:
        if not isinstance(node, (ast.List, ast.Tuple)):
            raise self._error('after \'in\' comes a list like [1, 2] or ["sgd", "adam"]')
        inside = np.zeros(np.shape(left), bool)
        for element in node.elts:
            inside = inside | self._holds(ast.Eq(), left, self._value(element, depth))
        return inside

    def _holds(self, operator: ast.cmpop, left: Any, right: Any) -> np.ndarray:
        texts = [np.asarray(side).dtype.kind in "US" for side in (left, right)]
        if any(texts) and not all(texts):
            raise self._error("a text is compared with a number")
        if isinstance(operator, (ast.Eq, ast.NotEq)):
            if all(texts):
                same = np.asarray(left) == np.asarray(right)
                return same if isinstance(operator, ast.Eq) else ~same
            left, right = self._number(left), self._number(right)
            same = np.isclose(left, right, rtol=1e-9, atol=0.0)
            known = ~(np.isnan(left) | np.isnan(right))
            return (same if isinstance(operator, ast.Eq) else ~same) & known
        if type(operator) not in _ORDERINGS:
            raise self._error("write == or != instead of 'is'")
        if all(texts):
            raise self._error("texts have no order; only ==, != and in work on them")
        return _ORDERINGS[type(operator)](self._number(left), self._number(right))

    def _call(self, node: ast.Call, depth: int) -> np.ndarray:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name not in FUNCTIONS:
            raise self._error(f"there is no function {name!r}{did_you_mean(name, FUNCTIONS)}")
        if len(node.args) != 1 or node.keywords:
            raise self._error(f"{name} takes one value")
        return FUNCTIONS[name](self._number(self._value(node.args[0], depth)))

    def _name(self, node: ast.Name, _depth: int) -> Any:
        if node.id in self.special:
            return self.special[node.id]
        if node.id in ("true", "false") and node.id not in self.columns:
            return node.id == "true"
        return self._column(node.id)

    def _constant(self, node: ast.Constant, _depth: int) -> Any:
        if isinstance(node.value, (bool, int, float, str)):
            return node.value
        raise self._error(f"{node.value!r} is neither a number nor a text")

    # -- kinds of values ------------------------------------------------------------------------
    def _number(self, value: Any) -> np.ndarray:
        if np.asarray(value).dtype.kind in "US":
            raise self._error("a text cannot be calculated with")
        return np.asarray(value, np.float64)

    def _truth(self, value: Any) -> np.ndarray:
        if np.asarray(value).dtype.kind in "US":
            raise self._error("a text is neither true nor false; compare it with ==")
        value = np.asarray(value)
        return value if value.dtype == bool else (value != 0) & ~np.isnan(value.astype(float))
