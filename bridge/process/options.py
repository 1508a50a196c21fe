"""Options of a command or process: one typed model for the command line, a YAML file, and a parent process.

An option is a field of a class that derives from :class:`Options`. Its type (``bridge.process.option_types``) validates
the value and defines its notation, its docstring is the help, its default the default::

    class TownOptions(Options):
        vehicles: Crowd = 20
        \"\"\"Vehicles that drive by themselves.\"\"\"

On the command line that is ``--vehicles 20``; in the file of ``--config FILE.yaml`` it is ``vehicles: 20``; a parent
passes its child all options that were set as a single JSON argument, ``{"vehicles":20}``. The command line takes
precedence over the file. Every boolean option has a ``--no-`` form, so that a file's ``true`` can be overridden.
"""

import argparse
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from bridge.process.forking import serve_forks
from bridge.process.parser import Parser, unknown
from bridge.process.settings import Lines, describe_error, line_of, read
from bridge.size import Size


@dataclass(frozen=True)
class Arg:
    """How a field is written on the command line, where name and type do not determine it; goes in ``Annotated``."""

    metavar: str = ""
    flag: str = ""  # name of the option and key in YAML, if different from the field's name
    group: str = ""  # title of the group in --help that begins with this field
    positional: bool = False
    spread: bool = False  # takes several values, separated by spaces
    repeat: bool = False  # may be given several times; the values are joined by commas
    otherwise: str | None = None  # its value where the option is given without one
    internal: bool = False  # set only by code: not available on the command line or in a file


class Options(BaseModel):
    """The base class of all options. Frozen; ``model_copy(update={...})`` returns a modified copy."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    config_file: ClassVar[bool] = True  # whether there is --config FILE.yaml

    def check(self) -> None:
        """Raise ``ValueError``, one line, for options that contradict each other. Called on a user's options only."""

    def to_json(self) -> str:
        """Return the options that were set, as the single argument of a child process that calls :func:`parse`.

        File names may be in any encoding: bytes that are not UTF-8 stay as Python has them, lone surrogates.
        """
        return json.dumps(self.model_dump(mode="json", exclude_unset=True))


_O = TypeVar("_O", bound=Options)


def parse(model: type[_O], arguments: Sequence[str] | None, prog: str, about: str = "") -> _O:
    """Parse the arguments of a command; wrong usage prints one line on stderr and exits with 2.

    Args:
        model: The options.
        arguments: A command line (None: the process's own), or one JSON object by :meth:`Options.to_json`, or ``-``:
            then that object is the first line of the standard input, from a parent that starts its child early.
        prog: Name of the command.
        about: First line of the help, "" for the model's docstring.
    """
    texts = list(sys.argv[1:] if arguments is None else arguments)
    if texts == ["-"]:
        serve_forks()
        texts = [sys.stdin.readline().strip()]
        if not texts[0]:
            raise SystemExit(0)  # the parent has ended, or needs no child
    parser = _parser(model, prog, about or inspect.getdoc(model) or "")
    try:
        if len(texts) == 1 and texts[0].startswith("{"):
            try:
                given = json.loads(texts[0])
            except json.JSONDecodeError as error:
                parser.error(f"invalid JSON: {error}")
            return model.model_validate(given)
        given = vars(parser.parse_args(texts))
        file: Path | None = given.pop("config", None) if model.config_file else None
        values, lines = ({}, {}) if file is None else _from_file(model, file)
    except ValidationError as error:
        parser.error(_first_mistake(model, error, {}, None, {}))
    except ValueError as error:
        parser.error(str(error))
    given = {name: ",".join(value) if _arg(model, name).repeat else value for name, value in given.items()}
    try:
        options = model.model_validate({**values, **given})
        options.check()
    except ValidationError as error:
        parser.error(_first_mistake(model, error, given, file, lines))
    except ValueError as error:
        parser.error(str(error))
    return options


def _parser(model: type[Options], prog: str, about: str) -> Parser:
    """Return a parser that only collects the text of each given field; pydantic validates them."""
    required = [_usage(model, name) for name, info, _ in _fields(model) if info.is_required()]
    usage = " ".join((prog, *required, "[options]")).replace("%", "%%")
    parser = Parser(prog, usage=usage, description=about, argument_default=argparse.SUPPRESS)
    group: Any = parser
    for name, info, arg in _fields(model):
        group = parser.add_argument_group(arg.group) if arg.group else group
        flag, help_ = _flag(model, name), _help(info)
        metavar = arg.metavar or name.upper()
        if arg.positional:
            takes_many = get_origin(info.annotation) is tuple
            group.add_argument(name, nargs="*" if takes_many else "?", metavar=metavar, help=help_)
        elif info.annotation is not bool:
            action = "append" if arg.repeat else "store"
            nargs = "+" if arg.spread else "?" if arg.otherwise else None
            group.add_argument(
                flag, dest=name, metavar=metavar, action=action, nargs=nargs, const=arg.otherwise, help=help_
            )
        elif info.default:
            group.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, help=help_)
        else:
            group.add_argument(flag, dest=name, action="store_true", help=help_)
            group.add_argument(f"--no-{flag[2:]}", dest=name, action="store_false", help=argparse.SUPPRESS)
    if model.config_file:
        help_ = "Read options that are not given here from this file, by their names without dashes"
        parser.add_argument("--config", type=Path, metavar="FILE.yaml", help=help_)
    return parser


def _fields(model: type[Options]) -> Iterator[tuple[str, FieldInfo, Arg]]:
    """Yield the fields that a user can set, as name, field and notation; a class's own fields before inherited ones."""
    names = (name for each in model.__mro__ for name in getattr(each, "__annotations__", ()))
    for name in dict.fromkeys(names):
        if name in model.model_fields and not (arg := _arg(model, name)).internal:
            yield name, model.model_fields[name], arg


def _arg(model: type[Options], name: str) -> Arg:
    """Return the merged ``Arg`` annotations of a field; outer ones override inner ones."""
    info = model.model_fields[name]
    merged = Arg()
    for each in (*_args_in(info.annotation), *info.metadata):
        if isinstance(each, Arg):
            merged = replace(merged, **{key: value for key, value in vars(each).items() if value})
    return merged


def _args_in(annotation: Any) -> Iterator[Arg]:
    """Yield the ``Arg`` objects in an annotation such as ``Annotated[int, Arg("N")] | None``."""
    if annotation is Size:
        yield Arg("WxH")
    for part in get_args(annotation):
        if isinstance(part, Arg):
            yield part
        else:
            yield from _args_in(part)


def _flag(model: type[Options], name: str) -> str:
    return f"--{_arg(model, name).flag or name.replace('_', '-')}"


def _usage(model: type[Options], name: str) -> str:
    """Return a required option as the usage line shows it: ``--out DIR``, ``SCENARIO``."""
    arg = _arg(model, name)
    metavar = arg.metavar or name.upper()
    return metavar if arg.positional else f"{_flag(model, name)} {metavar}"


def _help(info: FieldInfo) -> str:
    """Return a field's docstring, plus its default if that is informative and not mentioned already."""
    text = " ".join((info.description or "").split()).removesuffix(".")
    default = info.default
    if not (info.is_required() or default is False or default in (None, "", ()) or "(default: " in text):
        text += f" (default: {as_text(default)})"
    return text.replace("%", "%%")


def as_text(value: Any) -> str:
    """Return a value in command-line notation."""
    if type(value) is tuple:
        return ",".join(map(as_text, value))
    return f"{value:g}" if isinstance(value, float) else "on" if value is True else str(value)


def _from_file(model: type[Options], file: Path) -> tuple[dict[str, Any], Lines]:
    """Return values by field name, and their lines. Raises ``ValueError``, one line with file and line number."""
    data, lines = read(file)
    names = {_flag(model, name)[2:]: name for name, _, _ in _fields(model)}
    for key in data:
        if str(key).replace("_", "-") not in names:
            raise ValueError(f"{file}:{line_of(lines, (key,))}: {unknown('key', str(key), list(names))}")
    fields = {key: names[str(key).replace("_", "-")] for key in data}
    return (
        {fields[key]: value for key, value in data.items()},
        {(fields[str(key[0])], *key[1:]): line for key, line in lines.items() if key},
    )


def _first_mistake(
    model: type[Options], error: ValidationError, given: dict[str, Any], file: Path | None, lines: Lines
) -> str:
    """Return one line about the first mistake, or, if options are only missing, about all missing ones."""
    errors = error.errors(include_url=False)
    missing = [each["loc"][0] for each in errors if each["type"] == "missing"]
    wrong = next((each for each in errors if each["type"] != "missing"), None)
    if wrong is None:
        return f"the following arguments are required: {', '.join(_usage(model, str(name)) for name in missing)}"
    message = describe_error(wrong, model)
    if not wrong["loc"]:
        return message
    name = str(wrong["loc"][0])
    flag = _flag(model, name) if name in model.model_fields else name
    if file is not None and name not in given:
        return f"{file}:{line_of(lines, wrong['loc'])}: {flag.removeprefix('--')}: {message}"
    return f"argument {flag if not _is_positional(model, name) else _usage(model, name)}: {message}"


def _is_positional(model: type[Options], name: str) -> bool:
    return name in model.model_fields and _arg(model, name).positional
