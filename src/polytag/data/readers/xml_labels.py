"""Label names from MULAN's XML files."""

from pathlib import Path
from xml.parsers import expat

from polytag.data.readers.source import content
from polytag.errors import ReadError


def read_xml_labels(path: Path) -> list[str]:
    """Return the label names of a MULAN XML file, in its order (which need not be the order of the columns).

    Labels nested in labels (a hierarchy) are named as well, parents first. Document types and entities are refused, so nothing expands.

    Args:
        path: The file; gzip and xz are recognised by content.

    Raises:
        ReadError: The file is not XML, declares a document type, names a label twice or not at all.
    """
    path = Path(path)
    names: dict[str, int] = {}
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag.rpartition(":")[2] != "label":
            return
        name, line = attributes.get("name"), parser.CurrentLineNumber
        if name is None:
            raise ReadError(path, line, 'an attribute name="..." in <label>', f"{sorted(attributes) or 'no attribute'}")
        if name in names:
            raise ReadError(path, line, "label names that differ", f"{name!r} again (first in line {names[name]})")
        names[name] = line

    def refuse(*_: object) -> None:
        raise ReadError(path, parser.CurrentLineNumber, "XML without a document type or entities", "a <!DOCTYPE> or <!ENTITY> declaration")

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content(path), True)
    except expat.ExpatError as error:
        raise ReadError(path, error.lineno, "well-formed XML", expat.ErrorString(error.code)) from None
    except (ValueError, LookupError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(path, None, "well-formed XML", str(error)) from None
    if not names:
        raise ReadError(path, None, 'label elements such as <label name="Beach"/>', "none")
    return list(names)
