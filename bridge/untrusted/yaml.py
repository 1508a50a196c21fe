"""YAML of strangers: plain data, of bounded size, depth and number of nodes, aliases counted as what they expand to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from bridge.untrusted import files, limits
from bridge.untrusted.files import FileRefused

# libyaml where it is there: six times as fast. Only its parser, which does not recurse; its composer does.
_Parser: Any = yaml.cyaml.CParser if yaml.__with_libyaml__ else None  # type: ignore[attr-defined]


class YamlError(FileRefused):
    """No YAML, or too much of it. ``line`` counts from 1; the message does not name it."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Bounded(Composer):
    """PyYAML's composer with a bound on what it makes."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._nodes = 0
        self._sizes: dict[int, int] = {}  # of each finished node with all that is in it, aliases expanded

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[attr-defined]
        if self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise YamlError(mark.line + 1, "nested too deeply: an alias within what it stands for")
            self._nodes += self._sizes[id(node)]
        else:
            before, self._depth = self._nodes, self._depth + 1
            self._nodes += 1
            if self._depth > limits.YAML_DEPTH:
                raise YamlError(mark.line + 1, f"nested too deeply, over {limits.YAML_DEPTH} levels")
            node = super().compose_node(parent, index)
            self._depth -= 1
            self._sizes[id(node)] = self._nodes - before
        if self._nodes > limits.YAML_NODES:
            raise YamlError(mark.line + 1, f"more than {limits.YAML_NODES} values, aliases expanded")
        return node


if _Parser is not None:

    class _Loader(_Bounded, _Parser, SafeConstructor, Resolver):  # type: ignore[misc]
        def __init__(self, text: str) -> None:
            _Parser.__init__(self, text)
            _Bounded.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

        def dispose(self) -> None:
            """As the pure loader has it."""

else:

    class _Loader(_Bounded, yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, SafeConstructor, Resolver):  # type: ignore[no-redef,misc]
        def __init__(self, text: str) -> None:
            yaml.reader.Reader.__init__(self, text)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)
            _Bounded.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)


def parse(text: str) -> tuple[yaml.Node, Any]:
    """The one document of a YAML text: its node, which knows lines, and its plain data.

    Raises ``YamlError`` for whatever is wrong with it, an empty text too.
    """
    if len(text) > limits.YAML_SIZE:
        raise YamlError(1, f"over {limits.YAML_SIZE >> 20} MiB, which is too large for what it should be")
    node: yaml.Node | None = None
    try:
        loader: Any = _Loader(text)
        try:
            node = Composer.get_single_node(loader)
            if node is None:
                raise YamlError(1, "empty")
            return node, loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(mark.line + 1 if mark else 1, f"not YAML: {said}") from None
    except yaml.YAMLError as error:
        raise YamlError(1, f"not YAML: {' '.join(str(error).split())}") from None
    except YamlError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Of the constructor: impossible dates, `!!int abc`, numbers of 5,000 digits; it does not say where.
        said = (
            " ".join(str(error).partition(":")[0].split()) if type(error) is ValueError else "a value is no such thing"
        )
        raise YamlError(_first_odd(node), f"not YAML: {said}") from None


def read(path: str | Path) -> Any:
    """The plain data in a YAML file. Raises ``FileRefused``, with the line in its message, and ``OSError``."""
    try:
        return parse(files.read_text(path, limits.YAML_SIZE))[1]
    except YamlError as error:
        raise FileRefused(f"line {error.line}: {error}") from None


def _first_odd(node: yaml.Node | None) -> int:
    """The line of the first scalar that cannot be made what it says it is."""
    waiting, constructor = [] if node is None else [node], SafeConstructor()
    while waiting:
        one = waiting.pop()
        if isinstance(one, yaml.MappingNode):
            waiting += [part for pair in reversed(one.value) for part in reversed(pair)]
        elif isinstance(one, yaml.SequenceNode):
            waiting += reversed(one.value)
        else:
            try:
                constructor.construct_object(one)
            except Exception:  # whichever it was
                return int(one.start_mark.line) + 1
    return 1
