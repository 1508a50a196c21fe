"""Options of a command or process: one typed model, the same on a command line, in a YAML file, and from a parent.

An option is one field of a class that derives from :class:`Options`: its type (``bridge.process.option_types``) checks
the value and says how it is written, its docstring is the help, its default the default::

    class TownOptions(Options):
        vehicles: Crowd = 20
        \"\"\"Vehicles that drive by themselves.\"\"\"

On the command line that is ``--vehicles 20``; in the file of ``--config FILE.yaml`` it is ``vehicles: 20``; a parent
gives its child all that it set as a single JSON argument, ``{"vehicles":20}``. The command line goes before the file.
Yes-or-no options have a ``--no-`` form each, so that a file's yes can be taken back.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from bridge.process.forking import wait_for_forks
from bridge.process.parser import Parser, unknown
from bridge.process.settings import Lines, in_words, line_of, read
from bridge.size import Size


@dataclass(frozen=True)
class Arg:
    """How a field is written on the command line, where its name and its type do not say all; in its ``Annotated``."""

    metavar: str = ""
    flag: str = ""  # the option's name, and the key in YAML, where it is not the field's
    group: str = ""  # title of the group in --help that begins with this field
    positional: bool = False
    spread: bool = False  # several texts may follow, separated by spaces
    repeat: bool = False  # may be given several times; the texts are joined by commas
    internal: bool = False  # set by other code alone: not on a command line, not in a file


class Options(BaseModel):
    """The base of all options. Frozen; ``model_copy(update={...})`` makes others of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    config_file: ClassVar[bool] = True  # whether there is --config FILE.yaml

    def check(self) -> None:
        """Raises ``ValueError``, one line, for options that do not go together. Asked where a user gives them."""

    def to_json(self) -> str:
        """What was set, as the one argument of a child process that calls :func:`parse`."""
        return self.model_dump_json(exclude_unset=True)


_O = TypeVar("_O", bound=Options)


def parse(model: type[_O], arguments: Sequence[str] | None, prog: str, about: str = "") -> _O:
    """The options that ``arguments`` (None: the process's own) of the command ``prog`` say.

    They are a command line, or one JSON object by :meth:`Options.to_json`, or ``-``: then that object is the first line
    of the standard input, from a parent that starts its child before it knows all of it. ``about`` is the first line of
    the help, if not the model's docstring. Wrong usage is one line on stderr and exits with 2.
    """
    texts = list(sys.argv[1:] if arguments is None else arguments)
    if texts == ["-"]:
        wait_for_forks()
        texts = [sys.stdin.readline().strip()]
        if not texts[0]:
            raise SystemExit(0)  # the parent has ended, or needs nothing
    parser = _parser(model, prog, about or inspect.getdoc(model) or "")
    try:
        if len(texts) == 1 and texts[0].startswith("{"):
            return model.model_validate_json(texts[0])
        given = vars(parser.parse_args(texts))
        file: Path | None = given.pop("config", None) if model.config_file else None
        values, lines = ({}, {}) if file is None else _from_file(model, file)
    except ValidationError as error:
        parser.error(_first(model, error, {}, None, {}))
    except ValueError as error:
        parser.error(str(error))
    given = {name: ",".join(value) if _arg(model, name).repeat else value for name, value in given.items()}
    try:
        options = model.model_validate({**values, **given})
        options.check()
    except ValidationError as error:
        parser.error(_first(model, error, given, file, lines))
    except ValueError as error:
        parser.error(str(error))
    return options


def _parser(model: type[Options], prog: str, about: str) -> Parser:
    """Turns a command line into the texts of those fields that it names; pydantic does the rest."""
    words = [_written(model, name) for name, info, _ in _fields(model) if info.is_required()]
    usage = " ".join((prog, *words, "[options]")).replace("%", "%%")
    parser = Parser(prog, usage=usage, description=about, argument_default=argparse.SUPPRESS)
    into: Any = parser
    for name, info, arg in _fields(model):
        into = parser.add_argument_group(arg.group) if arg.group else into
        flag, said = _flag(model, name), _help(info)
        metavar = arg.metavar or name.upper()
        if arg.positional:
            several = get_origin(info.annotation) is tuple
            into.add_argument(name, nargs="*" if several else "?", metavar=metavar, help=said)
        elif info.annotation is not bool:
            action = "append" if arg.repeat else "store"
            into.add_argument(
                flag, dest=name, metavar=metavar, action=action, nargs="+" if arg.spread else None, help=said
            )
        elif info.default:
            into.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, help=said)
        else:
            into.add_argument(flag, dest=name, action="store_true", help=said)
            into.add_argument(f"--no-{flag[2:]}", dest=name, action="store_false", help=argparse.SUPPRESS)
    if model.config_file:
        said = "Options that are not given here, by their names without dashes"
        parser.add_argument("--config", type=Path, metavar="FILE.yaml", help=said)
    return parser


def _fields(model: type[Options]) -> Iterator[tuple[str, FieldInfo, Arg]]:
    """What a user can set: name, field, and how it is written; what a class shares with others comes after its own."""
    own = (name for each in model.__mro__ for name in getattr(each, "__annotations__", ()))
    for name in dict.fromkeys(own):
        if name in model.model_fields and not (arg := _arg(model, name)).internal:
            yield name, model.model_fields[name], arg


def _arg(model: type[Options], name: str) -> Arg:
    """All that the annotations of a field say about it, the outer ones last."""
    info = model.model_fields[name]
    found = Arg()
    for each in (*_args_in(info.annotation), *info.metadata):
        if isinstance(each, Arg):
            found = replace(found, **{key: value for key, value in vars(each).items() if value})
    return found


def _args_in(annotation: Any) -> Iterator[Arg]:
    """Those in an annotation such as ``Annotated[int, Arg("N")] | None``."""
    if annotation is Size:
        yield Arg("WxH")
    for part in get_args(annotation):
        if isinstance(part, Arg):
            yield part
        else:
            yield from _args_in(part)


def _flag(model: type[Options], name: str) -> str:
    return f"--{_arg(model, name).flag or name.replace('_', '-')}"


def _written(model: type[Options], name: str) -> str:
    """A required option as the usage shows it: ``--out DIR``, ``SCENARIO``."""
    arg = _arg(model, name)
    metavar = arg.metavar or name.upper()
    return metavar if arg.positional else f"{_flag(model, name)} {metavar}"


def _help(info: FieldInfo) -> str:
    """A field's docstring, with its default where that says something and the docstring does not."""
    said = " ".join((info.description or "").split()).removesuffix(".")
    default = info.default
    if not (info.is_required() or default is False or default in (None, "", ()) or "(default: " in said):
        said += f" (default: {as_text(default)})"
    return said.replace("%", "%%")


def as_text(value: Any) -> str:
    """A value as it is written on the command line."""
    if type(value) is tuple:
        return ",".join(map(as_text, value))
    return f"{value:g}" if isinstance(value, float) else "on" if value is True else str(value)


def _from_file(model: type[Options], file: Path) -> tuple[dict[str, Any], Lines]:
    """Values by the fields' names, and their lines. Raises ``ValueError``, one line with the file's."""
    data, lines = read(file)
    names = {_flag(model, name)[2:]: name for name, _, _ in _fields(model)}
    for key in data:
        if str(key).replace("_", "-") not in names:
            raise ValueError(f"{file}:{line_of(lines, (key,))}: {unknown('key', str(key), list(names))}")
    called = {key: names[str(key).replace("_", "-")] for key in data}
    return (
        {called[key]: value for key, value in data.items()},
        {(called[str(key[0])], *key[1:]): line for key, line in lines.items() if key},
    )


def _first(model: type[Options], error: ValidationError, given: dict[str, Any], file: Path | None, lines: Lines) -> str:
    """One line about the first mistake; where it is a missing one, about all that are missing."""
    errors = error.errors(include_url=False)
    missing = [each["loc"][0] for each in errors if each["type"] == "missing"]
    wrong = next((each for each in errors if each["type"] != "missing"), None)
    if wrong is None:
        return f"the following arguments are required: {', '.join(_written(model, str(name)) for name in missing)}"
    said = in_words(wrong, model)
    if not wrong["loc"]:
        return said
    name = str(wrong["loc"][0])
    flag = _flag(model, name) if name in model.model_fields else name
    if file is not None and name not in given:
        return f"{file}:{line_of(lines, wrong['loc'])}: {flag.removeprefix('--')}: {said}"
    return f"argument {flag if not _positional(model, name) else _written(model, name)}: {said}"


def _positional(model: type[Options], name: str) -> bool:
    return name in model.model_fields and _arg(model, name).positional
