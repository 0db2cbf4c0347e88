"""YAML with places: plain values, and for each of them the line and column it stands at.

Problem: validators see values, authors see lines. How: ruamel.yaml composes the document to nodes;
they become dicts, lists and text, and a table of places by path. Scalars stay text as written (so
account 0400 keeps its zero, country NO is Norway, and no number ever becomes a float); the models
convert. Null is no value anywhere. Keys given twice are reported, not silently dropped.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.events import AliasEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from streamsync.governance.problems import Problem

# Keys and list positions from the top of a file to a value.
Location = tuple[str | int, ...]

_DEPTH_MAX = 12  # deeper than any rule; ends an alias that contains itself
_PLAIN_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class YamlFile:
    """One file: its value (None when unreadable), and where each key and value stands."""

    name: str
    value: object = None
    problems: list[Problem] = field(default_factory=list)
    _keys: dict[Location, tuple[int, int]] = field(default_factory=dict)
    _values: dict[Location, tuple[int, int]] = field(default_factory=dict)

    def report(self, at: Location, rule: str, message: str, *, key: bool = False) -> None:
        """Record a problem at a value (or at its key); at the nearest known place around it."""
        while at and at not in self._values:
            at, key = at[:-1], False
        places = self._keys if key and at in self._keys else self._values
        line, column = places.get(at, (1, 1))
        self.problems.append(Problem(self.name, line, column, rule, message))

    def line(self, at: Location) -> int:
        """The line of a value."""
        return self._values.get(at, (1, 1))[0]

    def plain(self, node: Node, at: Location = ()) -> object:
        """The node as dict, list, text or None, its places noted."""
        self._values.setdefault(at, (node.start_mark.line + 1, node.start_mark.column + 1))
        if len(at) > _DEPTH_MAX:
            self.report(at, "yaml_syntax", "Nested too deep, or an alias contains itself.")
            return None
        if not str(node.tag).startswith(_PLAIN_TAG) or "python" in str(node.tag):
            self.report(at, "yaml_syntax", f"The tag {node.tag} is not allowed: write plain YAML.")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, at)
        if isinstance(node, SequenceNode):
            return [self.plain(item, (*at, index)) for index, item in enumerate(node.value)]
        if node.tag != _PLAIN_TAG + "null":
            return str(node.value)
        if at:
            # A condition without a value would match everything.
            self.report(at, "wrong_value", f'"{at[-1]}" has no value: write one or remove it.')
        return None

    def _mapping(self, node: MappingNode, at: Location) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            place = (mark.line + 1, mark.column + 1)
            if not isinstance(key_node, ScalarNode):
                text = "A key must be a word, not a list or a mapping."
                self.problems.append(Problem(self.name, *place, "yaml_syntax", text))
                continue
            key = str(key_node.value)
            if key in found:
                first = self._keys[(*at, key)][0]
                text = f'"{key}" is already given on line {first}: keep one of the two.'
                self.problems.append(Problem(self.name, *place, "duplicate_key", text))
                continue
            self._keys[(*at, key)] = place
            if value_node.tag == _PLAIN_TAG + "null":
                # An empty value has the place of whatever follows; its key is what the author sees.
                self._values[(*at, key)] = place
            found[key] = self.plain(value_node, (*at, key))
        return found


def read_yaml(path: Path, name: str) -> YamlFile:
    """Read one file; what is wrong with its syntax is in its `problems`."""
    file = YamlFile(name)
    try:
        source = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        file.report((), "missing_file", f'There is no file "{path.name}" in the folder: add it.')
    except UnicodeDecodeError as error:
        file.report((), "yaml_syntax", f"Not UTF-8 at byte {error.start}: save the file as UTF-8.")
    except OSError as error:
        file.report((), "missing_file", f"The file can't be read: {error.strerror}.")
    else:
        _compose(file, source)
    return file


def _compose(file: YamlFile, source: str) -> None:
    line = column = 1
    try:
        with warnings.catch_warnings():
            # Allowed by YAML, but an alias would then mean whichever value stands nearer.
            warnings.simplefilter("error", ReusedAnchorWarning)
            node = YAML(typ="safe", pure=True).compose(source)
    except ReusedAnchorWarning:
        line, column, text = _reused_anchor(source)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            line, column = mark.line + 1, mark.column + 1
        said = ", ".join(part for part in (error.context, error.problem) if part)
        advice = "Check indentation, colons and quotes here and on the line before."
        text = f"{said[:1].upper()}{said[1:]}. {advice}"
    except ReaderError as error:
        line = source.count("\n", 0, error.position) + 1
        column = error.position - source.rfind("\n", 0, error.position)
        text = f"The character U+{ord(source[error.position]):04X} is not allowed: remove it."
    except YAMLError as error:
        text = f"{error}"
    except RecursionError:
        text = "Nested too deep: write the file as flat as the example company's."
    else:
        if node is not None:
            file.value = file.plain(node)
        return
    file.problems.append(Problem(file.name, line, column, "yaml_syntax", text))


def _reused_anchor(source: str) -> tuple[int, int, str]:
    """Line, column and message of the first anchor that is given twice in a source that has one."""
    first: dict[str, int] = {}
    for event in YAML(typ="safe", pure=True).parse(source):
        if not isinstance(event, NodeEvent) or isinstance(event, AliasEvent) or not event.anchor:
            continue
        mark = event.start_mark
        if event.anchor in first:
            text = f'The anchor "{event.anchor}" is already given on line {first[event.anchor]}: '
            return mark.line + 1, mark.column + 1, text + "give this one another name."
        first[event.anchor] = mark.line + 1
    raise ValueError("No anchor is given twice.")
