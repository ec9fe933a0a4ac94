"""Reading YAML so that values know their lines, nothing is silently lost, 1e-3 is a number."""

import re
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from convsmith.errors import Mistake, RecipeError

__all__ = ["Layer", "parse_value", "read_yaml"]

Path = tuple[str, ...]
INTEGER = re.compile(r"[-+]?[0-9]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass
class Layer:
    """Values from one place, with where each of them stands."""

    values: dict[str, Any]
    places: dict[Path, str] = field(default_factory=dict)


def read_yaml(path: FilePath, shown: str | None = None) -> Layer:
    """Read a recipe file; ``shown`` is what it is called in messages.

    Raises:
        RecipeError: the file cannot be read, or is not a YAML mapping without surprises.
    """
    name = shown or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError([Mistake(name, "there is no such file")]) from None
    except IsADirectoryError:
        raise RecipeError([Mistake(name, "is a folder, not a recipe file")]) from None
    except (OSError, ValueError) as error:  # not text, or a name with NUL in it
        raise RecipeError([Mistake(name, f"cannot be read: {error}")]) from error
    reader = Reader(name)
    values = reader.read(text)
    if values is None and not reader.mistakes:
        values = {}
    if not reader.mistakes and not isinstance(values, dict):
        reader.mistakes.append(Mistake(name, "must be a mapping of `section: …` lines"))
    if reader.mistakes:
        raise RecipeError(reader.mistakes)
    assert isinstance(values, dict)
    return Layer(values, reader.places)


def parse_value(text: str, place: str) -> Any:
    """Return the value that ``text`` has in YAML.

    Raises:
        RecipeError: it is not YAML.
    """
    reader = Reader(place)
    value = reader.read(text, lines=False)
    if reader.mistakes:
        raise RecipeError(reader.mistakes)
    return value


class Reader:
    """Builds plain values from YAML's nodes, noting places and collecting mistakes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines = True
        self.places: dict[Path, str] = {}
        self.mistakes: list[Mistake] = []
        self._seen: set[int] = set()

    def read(self, text: str, *, lines: bool = True) -> Any:
        """Return the value of a document."""
        self.lines = lines
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = self.place(mark.line) if mark else self.name
            self.mistakes.append(Mistake("YAML", str(error.problem or error), where))
            return None
        except (yaml.YAMLError, RecursionError) as error:
            self.mistakes.append(Mistake("YAML", " ".join(str(error).split()), self.name))
            return None
        return None if node is None else self.value(node, ())

    def place(self, line: int) -> str:
        """Return ``file:line``, or where a single value came from."""
        return f"{self.name}:{line + 1}" if self.lines else self.name

    def complain(self, node: yaml.Node, path: Path, message: str) -> None:
        """Note a mistake at a node."""
        where = self.place(node.start_mark.line)
        self.mistakes.append(Mistake(".".join(path) or "recipe", message, where))

    def value(self, node: yaml.Node, path: Path) -> Any:
        """Return the value of a node."""
        self.places.setdefault(path, self.place(node.start_mark.line))
        if id(node) in self._seen:
            self.complain(node, path, "anchors and aliases are not read in recipes")
            return None
        self._seen.add(id(node))
        if node.tag != untagged(node):
            self.complain(node, path, f"tags such as {node.tag} are not read in recipes")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = node.value
            return tuple(self.value(each, (*path, str(i))) for i, each in enumerate(items))
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return scalar(node.value) if plain else node.value

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        """Return a mapping; equal keys are a mistake."""
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.complain(key_node, path, "a key must be a word")
                continue
            key = str(key_node.value)
            inner = (*path, key)
            if key in result:
                before = self.places[inner]
                self.complain(key_node, inner, f"is written twice, first at {before}")
                continue
            self.places[inner] = self.place(key_node.start_mark.line)
            result[key] = self.value(value_node, inner)
        return result


def untagged(node: yaml.Node) -> str:
    """Return the tag that a node has if none is written."""
    if isinstance(node, yaml.ScalarNode):
        implicit = (node.style is None, node.style is not None)
        return str(yaml.resolver.Resolver().resolve(yaml.ScalarNode, node.value, implicit))
    return f"tag:yaml.org,2002:{'map' if isinstance(node, yaml.MappingNode) else 'seq'}"


def scalar(text: str) -> Any:
    """Return what a plain word means in YAML 1.2's core schema."""
    if text.lower() in WORDS and text in (text.lower(), text.capitalize(), text.upper()):
        return WORDS[text.lower()]
    if INTEGER.fullmatch(text) and len(text) <= 40:  # longer stays text, and no number
        return int(text)
    if FLOAT.fullmatch(text):
        return float(text)
    if text.lower().lstrip("+-") in (".inf", ".nan"):
        return float(text.lower().replace(".", ""))
    return text
