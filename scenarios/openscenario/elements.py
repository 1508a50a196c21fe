"""OpenSCENARIO's XML: elements with line numbers and parameters; unread elements are refused by name."""

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
    """An element of an .xosc file. Its reader declares the children it understands; others are refused."""

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
        """A mistake in this element."""
        return ScenarioError(f"{self._path}:{self.line}: {self.name}: {message}")

    def refuse(self) -> ScenarioError:
        """What is not supported."""
        return self.error("is not supported")

    @property
    def parameters(self) -> Mapping[str, str]:
        """What is known here, name -> value."""
        return self._parameters

    def with_text(self, attribute: str, value: str) -> Element:
        """The same element with an attribute of this value."""
        node = copy(self._node)
        line = self._node.sourceline
        node.set(attribute, value)
        node.sourceline = line
        return Element(node, self._path, self._parameters)

    def within(self, parameters: Mapping[str, str]) -> Element:
        """The same element where further parameters are known."""
        return Element(self._node, self._path, {**self._parameters, **parameters})

    def __iter__(self) -> Iterator[Element]:
        for node in self._node:
            if isinstance(node.tag, str):  # neither comment nor instruction
                yield Element(node, self._path, self._parameters)

    def find(self, name: str) -> Element | None:
        """The first child of this name."""
        return next((child for child in self if child.name == name), None)

    def get(self, name: str) -> Element:
        """The child of this name; an error without one."""
        found = self.find(name)
        if found is None:
            raise self.error(f"has no {name}")
        return found

    def all(self, name: str) -> list[Element]:
        """All children of this name."""
        return [child for child in self if child.name == name]

    def holds(self, name: str) -> bool:
        """Whether there is an element of this name anywhere below."""
        return next(self._node.iter(name), None) is not None

    def one(self, *ignored: str) -> Element:
        """The only child, those aside that are ``ignored``."""
        found = [child for child in self if child.name not in ignored]
        if len(found) != 1:
            raise self.error("is empty" if not found else f"has {len(found)} children, not one")
        return found[0]

    def only(self, *names: str) -> None:
        """Refuse children of other names."""
        for child in self:
            if child.name not in names:
                raise child.refuse()

    def text(self, attribute: str, default: str | None = None) -> str:
        """An attribute, parameters and expressions filled in."""
        raw = self._node.get(attribute)
        if raw is None:
            if default is None:
                raise self.error(f"has no attribute {attribute}")
            return default
        if raw.startswith("${") and raw.endswith("}"):
            try:
                return f"{_calculate(self._fill(raw[2:-1])):.12g}"
            except (ValueError, SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError):
                return str(raw)  # names may be made of expressions, too; they are only names
        return self._fill(str(raw))

    def name_of(self, attribute: str) -> str:
        """An attribute that names a parameter, with or without its dollar."""
        raw = str(self._node.get(attribute, ""))
        return raw[1:] if raw.startswith("$") else self.text(attribute)

    def number(self, attribute: str, default: float | None = None) -> float:
        """An attribute that is a finite number."""
        text = self.text(attribute, None if default is None else str(default))
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < 1e9:
            raise self.error(f"{attribute} is {text!r}, not a number")
        return value

    def _fill(self, text: str) -> str:
        length = len(text)

        def value(match: re.Match[str]) -> str:
            nonlocal length
            name = match[1]
            if name not in self._parameters:
                raise self.error(f"there is no parameter ${names.shown(name)[1:-1]}")
            length += len(self._parameters[name])
            if length > limits.ATTRIBUTE:  # parameters that are made of each other grow without end
                raise self.error(f"an attribute of more than {limits.ATTRIBUTE} characters, parameters filled in")
            return self._parameters[name]

        return re.sub(r"\$(\w+)", value, text)


def parse(path: Path, raw: bytes) -> Element:
    """The root of an .xosc text. Raises ``ScenarioError``."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        raise ScenarioError(f"{path}:{error.lineno or 1}: not XML: {' '.join(str(error.msg).split())}") from None
    if root.tag != "OpenSCENARIO":
        raise ScenarioError(f"{path}:{root.sourceline}: {root.tag}: not OpenSCENARIO")
    return Element(root, path, {})


def parameters(declarations: Element | None) -> dict[str, str]:
    """Name -> value of what ParameterDeclarations or VariableDeclarations declare."""
    if declarations is None:
        return {}
    declarations.only(declarations.name.removesuffix("s"))
    found: dict[str, str] = {}
    for each in declarations:  # a value may be made of those before it
        found[each.text("name")] = each.within(found).text("value")
    return found


def _calculate(expression: str) -> float:
    """A number from + - * / %, parentheses and some functions. Raises ``ValueError`` and whatever arithmetic does."""
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
        warnings.simplefilter("ignore")  # of Python, about a text that is not Python
        return value(ast.parse(expression.strip(), mode="eval"))
