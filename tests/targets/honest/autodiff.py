"""Automatic differentiation of formulas over (n, C) arrays: forward mode, reverse mode, and either of either.

A number is an array, a pair of value and tangent (`Dual`), or a node of a tape (`Node`); the parts of the latter two
are numbers again, so that what differentiates can be differentiated. Every operation is rounded as a `Calculus` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.targets.honest.adding import Array, Sum
from tests.targets.honest.algorithm import Algorithm


@dataclass(frozen=True)
class Rules:
    """How a derivative is written where frameworks write it differently."""

    quotient: str = "twice"
    """By b of a/b: "twice" -(g (a/b))/b as PyTorch, "square" -(g a)/(b b) as JAX, "result" -g (result/b)."""
    root: str = "half_last"
    """Of sqrt: "half_last" g/(2 result) as PyTorch, "half_first" g (0.5/result) as JAX."""
    reciprocal_root: str = "cube"
    """Of 1/sqrt(s): "cube" -g/2 result^3 as PyTorch, "over" -g (0.5 (result/s)) as JAX."""


PYTORCH = Rules()


class Number:
    """What formulas are written in. level: how deep in differentiation; 0 for a plain array."""

    level = 0

    def __init__(self, calculus: Calculus) -> None:
        self.calculus = calculus

    def __add__(self, other: Number) -> Number:
        return self.calculus.apply(ADD, self, other)

    def __sub__(self, other: Number) -> Number:
        return self.calculus.apply(SUBTRACT, self, other)

    def __mul__(self, other: Number) -> Number:
        return self.calculus.apply(MULTIPLY, self, other)

    def __truediv__(self, other: Number) -> Number:
        return self.calculus.apply(DIVIDE, self, other)

    def __neg__(self) -> Number:
        return self.calculus.apply(NEGATE, self)

    def times(self, factor: float) -> Number:
        """By a constant, rounded to the dtype."""
        return self.calculus.apply(by_constant(factor), self)

    def over(self, divisor: float) -> Number:
        return self.calculus.apply(over_constant(divisor), self)

    def plus(self, constant: float) -> Number:
        return self.calculus.apply(plus_constant(constant), self)

    def root(self) -> Number:
        return self.calculus.apply(ROOT, self)

    def reciprocal_root(self) -> Number:
        return self.calculus.apply(RECIPROCAL_ROOT, self)

    def total(self) -> Number:
        """(n, C) -> (C,)"""
        return self.calculus.apply(TOTAL, self)

    def spread(self) -> Number:
        """(C,) -> (n, C)"""
        return self.calculus.apply(SPREAD, self)


class Plain(Number):
    def __init__(self, calculus: Calculus, array: Array) -> None:
        super().__init__(calculus)
        self.array = array


class Dual(Number):
    def __init__(self, calculus: Calculus, level: int, value: Number, tangent: Number | None) -> None:
        super().__init__(calculus)
        self.level, self.value, self.tangent = level, value, tangent


class Node(Number):
    """The result of an operation, and by which rule its gradient goes on to each operand that has one."""

    def __init__(self, calculus: Calculus, level: int, value: Number, operands: list[Operand] | None = None) -> None:
        super().__init__(calculus)
        self.level, self.value, self.operands = level, value, operands or []


Operand = tuple[Node, Callable[[Number], Number]]


@dataclass(frozen=True)
class Operation:
    """arrays: what it computes. push and pull: the tangent of the result by one of the k-th operand; the k-th operand's
    gradient by that of the result. The same where each value depends on one of its own row alone."""

    arrays: Callable[..., Array]
    push: Callable[..., Number | None]
    pull: Callable[..., Number | None] | None = None


@dataclass
class Calculus:
    """Whose arithmetic, sums, roots and statistics are computed with, and by which rules it differentiates."""

    algorithm: Algorithm
    like: Array
    """An (n, C) array as it is given: of what shape and dtype numbers are."""
    rules: Rules = PYTORCH
    depth: int = 0

    @property
    def n(self) -> int:
        return len(self.like)

    @property
    def add(self) -> Sum:
        return self.algorithm.add

    def number(self, array: Array) -> Number:
        return Plain(self, self.algorithm.arithmetic(array))

    def constant(self, value: float) -> Number:
        """(C,)"""
        return self.number(np.full(self.like.shape[1], value, self.like.dtype))

    def apply(self, operation: Operation, *operands: Number) -> Number:
        level = max(operand.level for operand in operands)
        if level == 0:
            return Plain(self, operation.arrays(self, *(o.array for o in operands)))  # type: ignore[attr-defined]
        inner = [o.value if o.level == level else o for o in operands]  # type: ignore[attr-defined]
        result = self.apply(operation, *inner)
        if any(isinstance(o, Dual) and o.level == level for o in operands):
            return Dual(self, level, result, self._tangent(operation, operands, inner, result, level))
        pull = operation.pull or operation.push
        parents: list[Operand] = [
            (o, lambda g, k=k: pull(self, k, inner, result, g))  # type: ignore[misc]
            for k, o in enumerate(operands)
            if isinstance(o, Node) and o.level == level
        ]
        return Node(self, level, result, parents)

    def _tangent(
        self, operation: Operation, operands: Sequence[Number], inner: list[Number], result: Number, level: int
    ) -> Number | None:
        tangent = None
        for k, operand in enumerate(operands):
            if isinstance(operand, Dual) and operand.level == level and operand.tangent is not None:
                tangent = summed(tangent, operation.push(self, k, inner, result, operand.tangent))
        return tangent

    def jvp(
        self, function: Callable[..., Sequence[Number]], point: Sequence[Number], tangents: Sequence[Number | None]
    ) -> list[Number]:
        """The tangents of the results; None is one of 0. Raises ValueError where a result hangs on nothing."""
        self.depth += 1
        results = function(
            *(Dual(self, self.depth, value, tangent) for value, tangent in zip(point, tangents, strict=True))
        )
        level, self.depth = self.depth, self.depth - 1
        return [required(r.tangent if isinstance(r, Dual) and r.level == level else None) for r in results]

    def vjp(
        self, function: Callable[..., Sequence[Number]], point: Sequence[Number], cotangents: Sequence[Number]
    ) -> list[Number]:
        """The gradient by each argument of the results' sum of products with the cotangents."""
        self.depth += 1
        level = self.depth
        leaves = [Node(self, level, value) for value in point]
        results = function(*leaves)
        self.depth -= 1
        gradients: dict[int, Number] = {}
        order: list[Node] = []
        for result, cotangent in zip(results, cotangents, strict=True):
            if isinstance(result, Node) and result.level == level:
                gradients[id(result)] = required(summed(gradients.get(id(result)), cotangent))
                _in_order(result, order, set(map(id, order)))
        for node in reversed(order):
            for operand, pull in node.operands:
                through = pull(gradients[id(node)]) if id(node) in gradients else None
                whole = summed(gradients.get(id(operand)), through)
                if whole is not None:
                    gradients[id(operand)] = whole
        return [required(gradients.get(id(leaf))) for leaf in leaves]


def _in_order(node: Node, order: list[Node], seen: set[int]) -> None:
    """Operands before what is made of them."""
    if id(node) in seen:
        return
    seen.add(id(node))
    for operand, _ in node.operands:
        _in_order(operand, order, seen)
    order.append(node)


def summed(a: Number | None, b: Number | None) -> Number | None:
    return b if a is None else a if b is None else a + b


def required(number: Number | None) -> Number:
    if number is None:
        raise ValueError("nothing hangs on this argument")
    return number


# --- operations ---


def _divide_push(c: Calculus, k: int, of: list[Number], result: Number, t: Number) -> Number:
    a, b = of
    if k == 0:
        return t / b
    if c.rules.quotient == "twice":
        return (-t * (a / b)) / b
    return (-t * a) / (b * b) if c.rules.quotient == "square" else -t * (result / b)


def _root_push(c: Calculus, k: int, of: list[Number], result: Number, t: Number) -> Number:  # noqa: ARG001
    if c.rules.root == "half_last":
        return t / result.times(2.0)
    return t * (c.constant(0.5) / result)


def _reciprocal_root_push(c: Calculus, k: int, of: list[Number], result: Number, t: Number) -> Number:  # noqa: ARG001
    if c.rules.reciprocal_root == "cube":
        return t.times(-0.5) * (result * result * result)
    return t * (result / of[0]).times(-0.5)


ADD = Operation(lambda c, a, b: a + b, lambda c, k, of, r, t: t)  # noqa: ARG005
SUBTRACT = Operation(lambda c, a, b: a - b, lambda c, k, of, r, t: -t if k else t)  # noqa: ARG005
MULTIPLY = Operation(lambda c, a, b: a * b, lambda c, k, of, r, t: t * of[1 - k])  # noqa: ARG005
NEGATE = Operation(lambda c, a: -a, lambda c, k, of, r, t: -t)  # noqa: ARG005
DIVIDE = Operation(lambda c, a, b: c.algorithm.roots.divide(a, b), _divide_push)
ROOT = Operation(lambda c, a: c.algorithm.roots.root(a), _root_push)
RECIPROCAL_ROOT = Operation(lambda c, a: c.algorithm.roots.reciprocal_root(a), _reciprocal_root_push)
TOTAL = Operation(
    lambda c, a: c.add(a),
    lambda c, k, of, r, t: t.total(),  # noqa: ARG005
    lambda c, k, of, r, g: g.spread(),  # noqa: ARG005
)
SPREAD = Operation(
    lambda c, a: np.broadcast_to(a, (c.n, len(a)), subok=True),
    lambda c, k, of, r, t: t.spread(),  # noqa: ARG005
    lambda c, k, of, r, g: g.total(),  # noqa: ARG005
)


def by_constant(factor: float) -> Operation:
    return Operation(
        lambda c, a: a * a.dtype.type(factor),  # noqa: ARG005
        lambda c, k, of, r, t: t.times(factor),  # noqa: ARG005
    )


def over_constant(divisor: float) -> Operation:
    return Operation(
        lambda c, a: c.algorithm.roots.divide(a, a.dtype.type(divisor)),
        lambda c, k, of, r, t: t.over(divisor),  # noqa: ARG005
    )


def plus_constant(constant: float) -> Operation:
    return Operation(lambda c, a: a + a.dtype.type(constant), lambda c, k, of, r, t: t)  # noqa: ARG005


# --- statistics that any algorithm may have computed ---


def mean_of(x: Number) -> Number:
    """Its derivative is the mean of the tangent."""
    return x.calculus.apply(MEAN, x)


def var_of(x: Number) -> Number:
    """The biased variance as one operation of x, as PyTorch's var: its derivative is 2/n (x - mean)."""
    return x.calculus.apply(VAR, x)


def var_of_centred(x: Number, centred: Number) -> Number:
    """The same as a mean of squares, by its derivative: x is where the computed value comes from."""
    return x.calculus.apply(MEAN_SQUARE, x, centred)


def _statistic(which: int) -> Callable[..., Array]:
    def arrays(c: Calculus, x: Array, *_: Array) -> Any:
        return c.algorithm.statistics(x, c.add, c.algorithm.roots.divide)[which]

    return arrays


def _var_push(c: Calculus, k: int, of: list[Number], result: Number, t: Number) -> Number:  # noqa: ARG001
    return ((of[0] - mean_of(of[0]).spread()) * t).total().times(2.0 / c.n)


def _var_pull(c: Calculus, k: int, of: list[Number], result: Number, g: Number) -> Number:  # noqa: ARG001
    return g.times(2.0 / c.n).spread() * (of[0] - mean_of(of[0]).spread())


def _square_push(c: Calculus, k: int, of: list[Number], result: Number, t: Number) -> Number | None:  # noqa: ARG001
    return (of[1] * t).total().times(2.0).over(c.n) if k else None


def _square_pull(c: Calculus, k: int, of: list[Number], result: Number, g: Number) -> Number | None:  # noqa: ARG001
    return g.over(c.n).spread() * of[1].times(2.0) if k else None


MEAN = Operation(
    _statistic(0),
    lambda c, k, of, r, t: t.total().over(c.n),  # noqa: ARG005
    lambda c, k, of, r, g: g.over(c.n).spread(),  # noqa: ARG005
)
VAR = Operation(_statistic(1), _var_push, _var_pull)
MEAN_SQUARE = Operation(_statistic(1), _square_push, _square_pull)
