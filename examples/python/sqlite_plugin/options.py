"""The options of the stanza storage "sqlite"."""

import difflib
import json

from holdfast.storage.v1 import storage_pb2 as pb

OPTIONS = (
    pb.Option(name="path", type="string", required=True, description="file of the database, on a local disk"),
    pb.Option(
        name="ha_enabled",
        type="bool",
        default_value="true",
        description="whether several servers may share this storage, one of them active",
    ),
)


class OptionsError(Exception):
    """An option can not be used; the text names it."""


def parse(text):
    """Return path and ha_enabled of a stanza, which is a JSON object."""
    try:
        stanza = json.loads(text or "{}")
    except ValueError:
        stanza = None
    if not isinstance(stanza, dict):
        raise OptionsError("options are not a JSON object")
    known = [option.name for option in OPTIONS]
    for name in stanza:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f', did you mean "{near[0]}"?' if near else ""
            raise OptionsError(f'option "{name}" is unknown{hint}')
    path = stanza.get("path")
    if not isinstance(path, str) or not path:
        raise OptionsError('option "path" is required: ' + OPTIONS[0].description)
    return path, _parse_bool("ha_enabled", stanza.get("ha_enabled", True))


def _parse_bool(name, value):
    words = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    if isinstance(value, (bool, str)) and value in words:
        return words[value]
    raise OptionsError(f'option "{name}": want true or false')
