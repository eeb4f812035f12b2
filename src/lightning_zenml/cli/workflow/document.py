"""A workflow file as GitHub reads it: each scalar is text, and each field knows its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml


@dataclass(frozen=True, kw_only=True)
class Field:
    """A value in a YAML file.

    Args:
        line: number of the line that it begins in, from 1.
        text: a scalar's text, which YAML 1.1 would make a boolean of some of; '' for anything else.
        fields: the fields of a mapping, by name.
        items: the items of a list.
    """

    line: int
    text: str = ""
    fields: dict[str, Field] = field(default_factory=dict)
    items: tuple[Field, ...] = ()

    def __getitem__(self, name: str) -> Field:
        """The field of that name; an empty one where there is none."""
        return self.fields.get(name, Field(line=self.line))

    def __bool__(self) -> bool:
        return bool(self.text or self.fields or self.items)

    def words(self) -> list[str]:
        """Names that may be given as one text, a list or a mapping's keys, as `on` is."""
        return [self.text] if self.text else [*self.fields, *(item.text for item in self.items)]


class NotYamlError(Exception):
    """A file is no YAML, or no mapping.

    Attributes:
        line: line in which that shows.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def read(text: str) -> Field:
    """Reads a file.

    Args:
        text: the file's text.

    Raises:
        NotYamlError: if it holds no mapping in YAML.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise NotYamlError(f"This is no YAML: {error.problem or error.context}", line) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise NotYamlError(f"This is no YAML: {error}", 1) from None
    if not isinstance(node, yaml.MappingNode):
        raise NotYamlError("This is no workflow: it holds no mapping.", 1)
    return _field(node)


def _field(node: yaml.Node) -> Field:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return Field(line=line, fields=dict(_pairs(node)))
    if isinstance(node, yaml.SequenceNode):
        return Field(line=line, items=tuple(map(_field, node.value)))
    is_null = node.tag == "tag:yaml.org,2002:null"
    return Field(line=line, text="" if is_null else str(node.value))


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[str, Field]]:
    for key, value in node.value:
        found = _field(value)
        # A block begins below its key: that is where people look.
        yield (
            str(key.value),
            Field(line=key.start_mark.line + 1, text=found.text, fields=found.fields, items=found.items),
        )
