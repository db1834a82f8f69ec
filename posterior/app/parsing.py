"""The command line's parser: functions become commands, and mistakes are told in one line."""

from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from textwrap import TextWrapper
from typing import Any, NoReturn

import torch
import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter, get_loader, set_loader

from posterior.app.bounded_yaml import check_size
from posterior.app.machine import is_of_the_machine
from posterior.errors import PosteriorError

_PROGRAM = "posterior"
_MODE = "bounded-yaml"


def parse(
    args: Sequence[str] | None, commands: dict[str, Any], description: str, choices: Mapping[str, str] | None = None
) -> Callable[[], object]:
    """The call that the words ask for.

    A function's arguments become options, named, typed and explained as its signature and docstring say; a function
    without optional arguments takes them as plain words, and so does one whose options are keyword-only. A YAML file
    right after a command holds its options, unless the function takes it as `config`.

    Args:
        args: The words; those of the command line unless given.
        commands: Functions by name; a nested dictionary is a group of them, explained by its `_help`.
        description: What the program does.
        choices: What an option of some name takes; printed below the help of every command that has such an option.
    """
    parser, command = _Parser(prog=_PROGRAM, description=description), commands
    _add_commands(parser, commands, choices or {})
    words = [_underlined(word) for word in (sys.argv[1:] if args is None else args)]
    takes_options = len(words) > 1 and not words[1].startswith("-") and not _reads_a_config(commands.get(words[0]))
    if takes_options and words[1].endswith((".yaml", ".yml")):
        words.insert(1, "--config")  # `posterior fairness study.yaml`
    try:
        for word in words:  # numbers are read from words as they are, without the loader below
            check_size(word.partition("=")[2] if word.startswith("--") else word)
        values = parser.parse_args(words)
    except UnicodeDecodeError as error:
        parser.error(f"the config file is not text: {error}")
    except yaml.YAMLError as error:
        parser.error(str(error))
    while isinstance(command, dict) and (word := values.command) is not None:
        parser, command, values = parser.commands[word], command[word], values[word]
    if isinstance(command, dict):
        return parser.print_help
    if not _reads_a_config(command):
        values.pop("config", None)
    return partial(command, **values)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line on stderr where something is wrong; quietly where nobody reads its output."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # or the interpreter does, too late to see that nobody reads
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # for what is left in the buffer
        sys.exit(141)  # as the shell reports programs that SIGPIPE ends
    except OSError as error:
        _quit(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except (PosteriorError, torch.cuda.OutOfMemoryError) as error:
        _quit(str(error), 1)
    except MemoryError as error:
        _quit(f"there is too little memory: {error}", 1)
    except RuntimeError as error:
        if not is_of_the_machine(error):
            raise
        text = str(error).partition("\n")[0]  # of a GPU, before hints for who writes kernels
        _quit(f"the machine has failed: {text.rpartition('] ')[2].partition('. Error')[0]}", 1)
    except KeyboardInterrupt as error:
        _quit("; ".join(["interrupted", *getattr(error, "__notes__", [])]), 130)


def _load(text: str) -> Any:
    """A value or a config file as jsonargparse reads YAML, unless it is too much."""
    check_size(text)
    return get_loader("yaml")(text)


set_loader(_MODE, _load, (yaml.YAMLError,))


class _Help(DefaultHelpFormatter):
    """Help with defaults, without types, that keeps the lines of what stands below the options."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        wrapper = TextWrapper(width, break_long_words=False, break_on_hyphens=False)
        lines = []
        for line in text.splitlines():
            wrapper.initial_indent = line[: len(line) - len(line.lstrip())]
            wrapper.subsequent_indent = "    " if line.startswith(" ") else ""
            lines += wrapper.wrap(line.lstrip()) or [""]
        return "\n".join(indent + line for line in lines)

    def _get_help_string(self, action: argparse.Action) -> str:
        plain = {"--help": "Print this help.", "--print_config": "Print all arguments as YAML, for --config."}
        given = action.default is not argparse.SUPPRESS  # an argument of a function, which may be called the same
        text = "" if given else plain.get((action.option_strings or [""])[-1], "")
        text = text or action.help or ""
        if action.required and action.option_strings:
            return f"{text} (required)"
        if action.option_strings and action.default not in (None, argparse.SUPPRESS):
            return f"{text} (default: %(default)s)"
        return text


class _Parser(ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Help, parser_mode=_MODE, **options)
        self.commands: dict[str, _Parser] = {}

    def parse_args(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:  # type: ignore[override]
        """Options that take a list may be given several times: all but the first then add to it."""
        lists = {option for action in self._actions for option in action.option_strings if option.endswith("+")}
        seen, words = set(), list(args or ())
        for place, word in enumerate(words):
            option, equals, value = word.partition("=")
            if option in seen and f"{option}+" in lists:
                words[place] = f"{option}+{equals}{value}"
            seen.add(option)
        return super().parse_args(words, *others, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if wrong := re.search(r'Parser key "([\w.]+)":.*(?:Got|Given) value: (.*)', message, re.DOTALL):
            message = f"{wrong[1].split('.')[-1]} cannot be {wrong[2]!r}"
        elif message.startswith("the following arguments are required"):
            message = re.sub(r"(\w+\.)+", "", message)  # of train.score.data
        message = re.sub(r'Parser key "([\w.]+)"', r"\1", message)
        parser = getattr(ex, "subcommand_parser", None) or self
        _quit(f"{message}; see {parser.prog} --help", 2)


def _add_commands(parser: _Parser, commands: dict[str, Any], choices: Mapping[str, str]) -> None:
    group = parser.add_subcommands(required=False, dest="command", title="commands", description=None)
    for name, target in commands.items():
        if name == "_help":
            continue
        text = target["_help"] if isinstance(target, dict) else (inspect.getdoc(target) or name).splitlines()[0]
        printing = None if _reads_a_config(target) else "--print_config"
        sub = parser.commands[name] = _Parser(description=text, print_config=printing)
        group.add_subcommand(name, sub, help=text)
        sub.prog = f"{parser.prog} {name}"
        if isinstance(target, dict):
            _add_commands(sub, target, choices)
        elif all(argument.default is argument.empty for argument in inspect.signature(target).parameters.values()):
            sub.add_function_arguments(target, as_group=False, as_positional=True)
        else:
            words = _words(target)
            sub.usage = " ".join(["%(prog)s", *(word.upper() for word in words), "[options]"])
            if not _reads_a_config(target):
                sub.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these arguments.")
            options = sub.add_function_arguments(target, as_group=False, as_positional=bool(words))
            for action in sub._actions:
                if str(action.metavar).startswith("{true,false"):  # `--resize` is `--resize=true`
                    action.nargs, action.const = "?", True
            sub.epilog = "\n\n".join(text for option, text in choices.items() if option in options)


def _reads_a_config(command: Any) -> bool:
    """Whether a command reads a config of its own, of which the parser knows nothing."""
    return callable(command) and "config" in inspect.signature(command).parameters


def _words(function: Callable[..., object]) -> list[str]:
    """Arguments that are plain words beside options: those before the keyword-only ones, if there are such."""
    kinds = {name: argument.kind for name, argument in inspect.signature(function).parameters.items()}
    if inspect.Parameter.KEYWORD_ONLY not in kinds.values():
        return []
    return [name for name, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]


def _underlined(word: str) -> str:
    """A word of the command line; names of options have underlines: `--dry-run` is `--dry_run`, and `-o` is `--out`."""
    if word == "-o":
        return "--out"
    if not re.match("--[a-z]", word):
        return word
    option, equals, value = word[2:].partition("=")
    return f"--{option.replace('-', '_')}{equals}{value}"


def _quit(message: str, code: int) -> NoReturn:
    print(f"{_PROGRAM}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
