"""OpenSCENARIO's XML: elements with line numbers and parameters; unsupported elements are refused by name."""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from math import ceil, e, floor, pi, sqrt
from pathlib import Path
from typing import Any

from lxml import etree

from bridge.untrusted import limits, names
from scenarios.language.problems import ScenarioError

_OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_CONSTANTS = {"pi": pi, "e": e}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "round": lambda x: float(round(x)), "floor": floor, "ceil": ceil, "sqrt": sqrt, "pow": pow, "abs": abs,
}  # fmt: skip


class Element:
    """An element of an .xosc file. The code that reads it declares the supported children; others are refused."""

    def __init__(self, node: Any, path: Path, parameters: Mapping[str, str]) -> None:
        self._node, self._path, self._parameters = node, path, parameters

    @property
    def name(self) -> str:
        """The tag."""
        return str(self._node.tag)

    @property
    def line(self) -> int:
        """Line in the file, from 1."""
        return int(self._node.sourceline)

    def error(self, message: str) -> ScenarioError:
        """Return the error for a mistake in this element."""
        return ScenarioError(f"{self._path}:{self.line}: {self.name}: {message}")

    def refuse(self) -> ScenarioError:
        """Return the error for an unsupported element."""
        return self.error("is not supported")

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parameters in scope, name -> value."""
        return self._parameters

    def with_text(self, attribute: str, value: str) -> Element:
        """Return a copy of the element with this value for an attribute."""
        node = copy(self._node)
        line = self._node.sourceline
        node.set(attribute, value)
        node.sourceline = line
        return Element(node, self._path, self._parameters)

    def within(self, parameters: Mapping[str, str]) -> Element:
        """Return the same element with further parameters in scope."""
        return Element(self._node, self._path, {**self._parameters, **parameters})

    def __iter__(self) -> Iterator[Element]:
        for node in self._node:
            if isinstance(node.tag, str):  # neither a comment nor a processing instruction
                yield Element(node, self._path, self._parameters)

    def find(self, name: str) -> Element | None:
        """Return the first child with this name, if any."""
        return next((child for child in self if child.name == name), None)

    def get(self, name: str) -> Element:
        """Return the first child with this name. Raises ``ScenarioError`` if there is none."""
        child = self.find(name)
        if child is None:
            raise self.error(f"has no {name}")
        return child

    def all(self, name: str) -> list[Element]:
        """Return all children with this name."""
        return [child for child in self if child.name == name]

    def contains(self, name: str) -> bool:
        """Return whether there is an element with this name anywhere below."""
        return next(self._node.iter(name), None) is not None

    def one(self, *ignored: str) -> Element:
        """Return the only child, apart from those ``ignored``. Raises ``ScenarioError`` if there is not exactly one."""
        children = [child for child in self if child.name not in ignored]
        if len(children) != 1:
            raise self.error("is empty" if not children else f"has {len(children)} children, not one")
        return children[0]

    def only(self, *names: str) -> None:
        """Refuse children with other names."""
        for child in self:
            if child.name not in names:
                raise child.refuse()

    def text(self, attribute: str, default: str | None = None) -> str:
        """Return an attribute with parameters and expressions substituted."""
        raw = self._node.get(attribute)
        if raw is None:
            if default is None:
                raise self.error(f"has no attribute {attribute}")
            return default
        if raw.startswith("${") and raw.endswith("}"):
            try:
                return f"{_evaluate(self._substitute(raw[2:-1])):.12g}"
            except (ValueError, SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError):
                return str(raw)  # names may look like expressions without being one
        return self._substitute(str(raw))

    def name_of(self, attribute: str) -> str:
        """Return the parameter that an attribute names, with or without a dollar sign."""
        raw = str(self._node.get(attribute, ""))
        return raw[1:] if raw.startswith("$") else self.text(attribute)

    def number(self, attribute: str, default: float | None = None) -> float:
        """Return an attribute as a finite number. Raises ``ScenarioError`` if it is not one."""
        text = self.text(attribute, None if default is None else str(default))
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < 1e9:
            raise self.error(f"{attribute} is {text!r}, not a number")
        return value

    def _substitute(self, text: str) -> str:
        length = len(text)

        def value(match: re.Match[str]) -> str:
            nonlocal length
            name = match[1]
            if name not in self._parameters:
                raise self.error(f"there is no parameter ${names.printable(name)[1:-1]}")
            length += len(self._parameters[name])
            if length > limits.ATTRIBUTE:  # parameters that contain each other can grow exponentially
                raise self.error(f"an attribute has more than {limits.ATTRIBUTE} characters, parameters substituted")
            return self._parameters[name]

        return re.sub(r"\$(\w+)", value, text)


def parse(path: Path, raw: bytes) -> Element:
    """Parse an .xosc text and return its root. Raises ``ScenarioError``."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        raise ScenarioError(f"{path}:{error.lineno or 1}: not XML: {' '.join(str(error.msg).split())}") from None
    if root.tag != "OpenSCENARIO":
        raise ScenarioError(f"{path}:{root.sourceline}: {root.tag}: not OpenSCENARIO")
    return Element(root, path, {})


def parameters(declarations: Element | None, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return name -> value of ParameterDeclarations or VariableDeclarations; ``given``: instead of declared values."""
    if declarations is None:
        return {}
    declarations.only(declarations.name.removesuffix("s"))
    values: dict[str, str] = {}
    for each in declarations:  # a value may refer to earlier ones
        name = each.name_of("name")  # 1.0 declares "$name", too
        values[name] = (given or {}).get(name) or each.within(values).text("value")
    return values


def _evaluate(expression: str) -> float:
    """Evaluate + - * / %, parentheses and some functions. Raises ``ValueError``, and what arithmetic raises."""
    if len(expression) > limits.EXPRESSION:
        raise ValueError(f"longer than {limits.EXPRESSION} characters")

    def value(node: ast.AST) -> float:
        if isinstance(node, ast.Expression):
            return value(node.body)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        if isinstance(node, ast.Name) and node.id in _CONSTANTS:
            return _CONSTANTS[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            return float(_FUNCTIONS[node.func.id](*(value(each) for each in node.args)))
        raise ValueError(expression)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarnings about a text that is not Python
        return value(ast.parse(expression.strip(), mode="eval"))
