"""Untrusted YAML: plain data of limited size, depth and number of nodes, with aliases counted as expanded."""

from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from bridge.untrusted import files, limits
from bridge.untrusted.files import FileRefused

# libyaml where available: six times as fast. Only its parser is used, which does not recurse, unlike its composer.
_Parser: Any = yaml.cyaml.CParser if yaml.__with_libyaml__ else None  # type: ignore[attr-defined]


class YamlError(FileRefused):
    """A text is not YAML, or exceeds a limit. ``line`` counts from 1; the message does not contain it."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _LimitedComposer(Composer):
    def __init__(self) -> None:
        super().__init__()
        self._depth = self._nodes = 0
        self._sizes: dict[int, int] = {}  # nodes in each finished node, by its id, with aliases expanded

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[attr-defined]
        if self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise YamlError(mark.line + 1, "nested too deeply: an alias inside its own anchor")
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

    class _Loader(_LimitedComposer, _Parser, SafeConstructor, Resolver):  # type: ignore[misc]
        def __init__(self, text: str) -> None:
            _Parser.__init__(self, text)
            _LimitedComposer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

        def dispose(self) -> None:
            """Do nothing; the pure Python loader has this method too."""

else:

    class _Loader(  # type: ignore[no-redef,misc]
        _LimitedComposer, yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, SafeConstructor, Resolver
    ):
        def __init__(self, text: str) -> None:
            yaml.reader.Reader.__init__(self, text)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)
            _LimitedComposer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)


def parse(text: str) -> tuple[yaml.Node, Any]:
    """Parse the one document of a YAML text and return its node, which knows line numbers, and its plain data.

    Raises ``YamlError`` for anything wrong with it, including an empty text.
    """
    if len(text) > limits.YAML_SIZE:
        raise YamlError(1, f"over {limits.YAML_SIZE >> 20} MiB, which is too large for a file of its kind")
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
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(mark.line + 1 if mark else 1, f"not YAML: {reason}") from None
    except yaml.YAMLError as error:
        raise YamlError(1, f"not YAML: {' '.join(str(error).split())}") from None
    except YamlError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # From the constructor, without a position: impossible dates, `!!int abc`, numbers of 5,000 digits.
        reason = (
            " ".join(str(error).partition(":")[0].split())
            if type(error) is ValueError
            else "a value does not match its type"
        )
        raise YamlError(_first_invalid_line(node), f"not YAML: {reason}") from None


def read(path: str | Path) -> Any:
    """Read the plain data in a YAML file. Raises ``FileRefused``, with the line in its message, and ``OSError``."""
    try:
        return parse(files.read_text(path, limits.YAML_SIZE))[1]
    except YamlError as error:
        raise FileRefused(f"line {error.line}: {error}") from None


def _first_invalid_line(node: yaml.Node | None) -> int:
    """Return the line of the first scalar that cannot be converted to its type."""
    stack, constructor = [] if node is None else [node], SafeConstructor()
    while stack:
        current = stack.pop()
        if isinstance(current, yaml.MappingNode):
            stack += [part for pair in reversed(current.value) for part in reversed(pair)]
        elif isinstance(current, yaml.SequenceNode):
            stack += reversed(current.value)
        else:
            try:
                constructor.construct_object(current)
            except Exception:  # of any kind
                return int(current.start_mark.line) + 1
    return 1
