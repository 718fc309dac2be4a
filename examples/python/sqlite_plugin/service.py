"""The gRPC services. They run in one event loop, so that Ping is answered whatever the disk does;
SQLite runs in threads."""

import asyncio
import functools
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import grpc

from holdfast.storage.v1 import storage_pb2 as pb
from holdfast.storage.v1 import storage_pb2_grpc as pb_grpc
from sqlite_plugin import errors, limits, options, about
from sqlite_plugin.store import Call, Store

READERS = 8  # threads of a backend that read
CALL_SECONDS = 30  # how long a call without a deadline may take
WATCH_SECONDS = 0.1  # how often a watch looks


def answers(method):
    """Turn the errors of a call into what the protocol says."""

    @functools.wraps(method)
    async def call(self, request, context):
        try:
            return await method(self, request, context)
        except errors.StorageError as error:
            await errors.fail(context, error)
        except Exception as error:  # a mistake in this program; of a write nobody knows
            if not isinstance(error, grpc.aio.BaseError):
                self.log("error", f"{method.__name__} failed: {error!r}")
                await errors.fail(context, errors.unavailable(f"internal error: {type(error).__name__}"))
            raise

    return call


class Backend:
    """An open database and the threads that use it."""

    def __init__(self, store):
        self._store = store
        self._readers = ThreadPoolExecutor(READERS, "read")
        self._writer = ThreadPoolExecutor(1, "write")

    async def get(self, key):
        return await _in(self._readers, self._store.get, key)

    async def names(self, prefix, after, limit):
        return await _in(self._readers, self._store.names, prefix, after, limit)

    async def write(self, ops, context):
        return await self._wanted(context, self._store.write, ops)

    async def commit(self, guard, ops, context):
        return await self._wanted(context, self._store.commit, guard, ops)

    async def _wanted(self, context, function, *arguments):
        """Run a write, which is not begun any more once its caller has given it up."""
        remaining = context.time_remaining()
        call = Call(CALL_SECONDS if remaining is None else remaining)
        try:
            return await _in(self._writer, function, *arguments, call)
        except asyncio.CancelledError:
            call.cancel()
            raise

    def close(self):
        """Wait for what is under way and free the file. It blocks."""
        self._readers.shutdown()
        self._writer.shutdown()
        self._store.close()


async def _in(executor, function, *arguments):
    return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)


class Service(pb_grpc.PluginServicer, pb_grpc.BackendServicer, pb_grpc.HABackendServicer):
    """All services of the plugin. log(level, text) writes to the host's log."""

    def __init__(self, log):
        self.log = log
        self._backends = {}

    def register(self, server):
        pb_grpc.add_PluginServicer_to_server(self, server)
        pb_grpc.add_BackendServicer_to_server(self, server)
        pb_grpc.add_HABackendServicer_to_server(self, server)

    def _backend(self, request):
        backend = self._backends.get(request.backend_id)
        if backend is None:
            raise errors.unconfigured()
        return backend

    async def Ping(self, request, context):
        return pb.PingResponse()

    async def Describe(self, request, context):
        return pb.DescribeResponse(
            name=about.NAME,
            version=about.VERSION,
            sdk=about.sdk(),
            services=about.SERVICES,
            options=options.OPTIONS,
        )

    async def Configure(self, request, context):
        try:
            path, ha_enabled = options.parse(request.config_json)
            store = await _in(None, Store, path)
        except options.OptionsError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except sqlite3.Error as error:
            await errors.fail(context, errors.unavailable(f"open {path}: {error}"))
        backend_id = os.urandom(16).hex()
        self._backends[backend_id] = Backend(store)
        return pb.ConfigureResponse(backend_id=backend_id, limits=limits.LIMITS, ha_disabled=not ha_enabled)

    async def Close(self, request, context):
        backend = self._backends.pop(request.backend_id, None)
        if backend is not None:
            await _in(None, backend.close)
        return pb.CloseResponse()

    @answers
    async def Get(self, request, context):
        backend = self._backend(request)
        limits.check_key(request.key)
        item = await backend.get(request.key)
        if item is None:
            raise errors.not_found()
        return pb.GetResponse(item=item)

    @answers
    async def List(self, request, context):
        backend = self._backend(request)
        limits.check_prefix(request.prefix)
        return pb.ListResponse(names=await backend.names(request.prefix, request.after, request.limit))

    @answers
    async def Write(self, request, context):
        backend = self._backend(request)
        limits.check_batch(request.ops)
        await backend.write(request.ops, context)
        return pb.WriteResponse()

    @answers
    async def Commit(self, request, context):
        backend = self._backend(request)
        limits.check_batch(request.ops, request.guard)
        return pb.CommitResponse(version=await backend.commit(request.guard, request.ops, context))

    @answers
    async def Watch(self, request, context):
        """SQLite tells no other process of a change, so this looks. gRPC cancels it at its
        deadline."""
        backend = self._backend(request)
        limits.check_key(request.key)
        while True:
            item = await backend.get(request.key)
            if item is None and request.seen:
                raise errors.not_found()
            if item is not None and item.version != request.seen:
                return pb.WatchResponse(item=item)
            await asyncio.sleep(WATCH_SECONDS)
