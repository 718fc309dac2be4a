"""What a request may be: the rules for keys, and this backend's limits."""

import unicodedata

from holdfast.storage.v1 import storage_pb2 as pb
from sqlite_plugin import errors

LIMITS = pb.Limits(
    max_key_bytes=1024,
    max_value_bytes=1 << 20,
    max_ops=512,
    max_batch_bytes=4 << 20,
)


def check_key(key):
    """Refuse what is no key, without repeating it."""
    size = len(key.encode())
    if not key:
        raise errors.invalid_key("empty")
    if size > LIMITS.max_key_bytes:
        raise errors.invalid_key(f"{size} bytes long, the most is {LIMITS.max_key_bytes}")
    if any(unicodedata.category(c) == "Cc" for c in key):
        raise errors.invalid_key("has a control character")
    for segment in key.split("/"):
        if not segment:
            raise errors.invalid_key("has an empty segment (a slash at an end, or two in a row)")
        if segment in (".", ".."):
            raise errors.invalid_key(f'has the segment "{segment}"')


def check_prefix(prefix):
    """Refuse what can not be listed: a prefix is empty, or a key and one slash."""
    if not prefix:
        return
    if not prefix.endswith("/"):
        raise errors.invalid_key("a prefix ends in a slash")
    check_key(prefix[:-1])


def check_batch(ops, guard=None):
    """Refuse a batch before anything of it is done."""
    if len(ops) > LIMITS.max_ops:
        raise errors.too_large("batch", "ops", len(ops), LIMITS.max_ops)
    seen = set()
    total = 0
    if guard is not None:
        check_key(guard.key)
        _check_value("guard value", guard.value)
        seen.add(guard.key)
        total = len(guard.key.encode()) + len(guard.value)
    for index, op in enumerate(ops):
        try:
            _check_op(op, seen)
        except errors.StorageError as error:
            error.op_index = index
            raise
        total += len(op.key.encode()) + len(op.value)
    if total > LIMITS.max_batch_bytes:
        raise errors.too_large("batch", "bytes", total, LIMITS.max_batch_bytes)


def _check_op(op, seen):
    if op.kind not in (pb.OP_KIND_PUT, pb.OP_KIND_DELETE):
        raise errors.unsupported(f"op kind {op.kind}")
    check_key(op.key)
    _check_value("value", op.value)
    if op.key in seen:
        raise errors.unsupported("key occurs twice in a batch")
    seen.add(op.key)


def _check_value(what, value):
    if len(value) > LIMITS.max_value_bytes:
        raise errors.too_large(what, "bytes", len(value), LIMITS.max_value_bytes)
