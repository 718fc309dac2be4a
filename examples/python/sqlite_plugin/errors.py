"""The errors of the protocol, and how a call fails with one."""

import grpc

import rpcstatus_pb2
from holdfast.storage.v1 import storage_pb2 as pb


class StorageError(Exception):
    """A call failed. code and detail are for the host, the text is for people.

    not_applied says of a write that it was not applied and never will be. It is the one claim
    that must be certain: CONFLICT, TOO_LARGE, INVALID_KEY and UNSUPPORTED make it by themselves.
    """

    def __init__(self, code, text, *, not_applied=False, too_large=None):
        super().__init__(text)
        self.code = code
        self.not_applied = not_applied
        self.too_large = too_large
        self.op_index = None  # which op of a batch it is about

    def detail(self):
        """Return the Error message that the host decides by."""
        detail = pb.Error(code=self.code)
        if self.not_applied:
            detail.outcome = pb.OUTCOME_NOT_APPLIED
        if self.op_index is not None:
            detail.has_op_index = True
            detail.op_index = self.op_index
        if self.too_large is not None:
            detail.too_large.CopyFrom(self.too_large)
        return detail


def not_found():
    return StorageError(pb.ERROR_CODE_NOT_FOUND, "not found")


def conflict():
    return StorageError(pb.ERROR_CODE_CONFLICT, "conflict: the guard is at another version")


def invalid_key(text):
    return StorageError(pb.ERROR_CODE_INVALID_KEY, "invalid key: " + text)


def unsupported(text):
    return StorageError(pb.ERROR_CODE_UNSUPPORTED, "unsupported: " + text)


def too_large(what, unit, size, limit):
    return StorageError(
        pb.ERROR_CODE_TOO_LARGE,
        f"too large: {what} has {size} {unit}, the limit is {limit}",
        too_large=pb.TooLarge(what=what, unit=unit, size=size, limit=limit),
    )


def unavailable(text, *, not_applied=False):
    return StorageError(pb.ERROR_CODE_UNAVAILABLE, text, not_applied=not_applied)


def unconfigured():
    return StorageError(pb.ERROR_CODE_UNCONFIGURED, "no such backend: configure again")


# The gRPC codes are for people and proxies. The detail decides.
_GRPC_CODES = {
    pb.ERROR_CODE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    pb.ERROR_CODE_CONFLICT: grpc.StatusCode.ABORTED,
    pb.ERROR_CODE_TOO_LARGE: grpc.StatusCode.OUT_OF_RANGE,
    pb.ERROR_CODE_INVALID_KEY: grpc.StatusCode.INVALID_ARGUMENT,
    pb.ERROR_CODE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    pb.ERROR_CODE_UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
    pb.ERROR_CODE_UNCONFIGURED: grpc.StatusCode.FAILED_PRECONDITION,
}


async def fail(context, error):
    """End the call of context with a StorageError."""
    code = _GRPC_CODES[error.code]
    status = rpcstatus_pb2.Status(code=code.value[0], message=str(error))
    detail = error.detail()
    status.details.add(type_url="type.googleapis.com/" + detail.DESCRIPTOR.full_name, value=detail.SerializeToString())
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(code, str(error))
