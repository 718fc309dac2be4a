"""Keys and values in one SQLite file that several processes of one machine share.

Every function here blocks and is called from threads of an executor.
"""

import sqlite3
import threading
import time
from contextlib import contextmanager

from holdfast.storage.v1 import storage_pb2 as pb
from sqlite_plugin import errors

# Every put makes a new row: AUTOINCREMENT never gives a number twice, also after the row with
# the highest was deleted, so the number is the version. Keys are bytes, which SQLite compares
# as memcmp does.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    key     BLOB NOT NULL UNIQUE,
    value   BLOB NOT NULL
)
"""

OPEN_SECONDS = 10  # how long another process may hold the file while it is opened
READ_SECONDS = 5  # the same for a read, which waits only while a killed process's log is recovered
WRITE_ATTEMPT_SECONDS = 0.05  # how soon a write that waits for its turn looks whether it is still wanted


class Call:
    """How long a call is wanted. Its caller may cancel it from another thread."""

    def __init__(self, seconds):
        self._deadline = time.monotonic() + seconds
        self._cancelled = threading.Event()

    def cancel(self):
        self._cancelled.set()

    def over(self):
        return self._cancelled.is_set() or time.monotonic() >= self._deadline


class Store:
    """The database. Its methods may be called by several threads at once, but for those that
    write: one thread makes all writes of a Store.
    """

    def __init__(self, path):
        self._path = path
        self._lock = threading.Lock()
        self._connections = []  # guarded by _lock
        self._thread = threading.local()  # .reader: the thread's connection
        self._writer = self._connect(OPEN_SECONDS)
        try:
            self._create()
        except sqlite3.Error:
            self.close()
            raise
        self._writer.execute(f"PRAGMA busy_timeout = {int(WRITE_ATTEMPT_SECONDS * 1000)}")

    def _connect(self, busy_seconds):
        connection = sqlite3.connect(
            self._path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        )
        # A write-ahead log lets reads and one write go on side by side. FULL: a COMMIT
        # returns when the log is on disk.
        connection.execute("PRAGMA synchronous = FULL")
        with self._lock:
            self._connections.append(connection)
        return connection

    def _create(self):
        """Create the table. Processes that start at once may hinder each other, for SQLite
        does not always wait for the lock that a new journal mode takes."""
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
                self._writer.execute("BEGIN IMMEDIATE")
                self._writer.execute(_SCHEMA)
                self._writer.execute("COMMIT")
                return
            except sqlite3.OperationalError as error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                if not _busy(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(0.01)

    def close(self):
        """Free the file. No other method is called during or after close."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def get(self, key):
        """Return the Item at key, or None. A statement sees all that was committed before."""
        with self._reading() as connection:
            row = connection.execute("SELECT value, version FROM items WHERE key = ?", (key.encode(),)).fetchone()
        return None if row is None else pb.Item(value=row[0], version=_version(row[1]))

    def names(self, prefix, after, limit):
        """Return one level of names. It walks along the index of the keys, and passes over
        what is below a directory in one step. One transaction sees one state."""
        prefix = prefix.encode()
        names = []
        start = prefix + _past(after.encode())
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                while start is not None:
                    start = self._collect(connection, prefix, start, limit, names)
            finally:
                connection.execute("ROLLBACK")
        return [name.decode() for name in names]

    @staticmethod
    def _collect(connection, prefix, start, limit, names):
        """Add names from the key start on. Return where to go on, or None at the end."""
        for (key,) in connection.execute("SELECT key FROM items WHERE key >= ? ORDER BY key", (start,)):
            if not key.startswith(prefix):
                return None
            name, slash, _ = key[len(prefix) :].partition(b"/")
            names.append(name + slash)
            if 0 < limit <= len(names):
                return None
            if slash:
                return prefix + _past(name + slash)
        return None

    def write(self, ops, call):
        """Apply ops in one transaction."""
        with self._writing(call) as connection:
            _apply(connection, ops)

    def commit(self, guard, ops, call):
        """Apply ops and move the guard in one transaction, if it is where it should be.
        Return its new version."""
        key = guard.key.encode()
        with self._writing(call) as connection:
            row = connection.execute("SELECT value, version FROM items WHERE key = ?", (key,)).fetchone()
            if (b"" if row is None else _version(row[1])) != guard.version:
                raise errors.conflict()
            # A file that was put back from a copy gives versions a second time, with other values.
            if row is not None and guard.prev and row[0] != guard.prev:
                raise errors.conflict()
            _apply(connection, ops)
            return _version(_put(connection, key, guard.value))

    @contextmanager
    def _reading(self):
        try:
            if not hasattr(self._thread, "reader"):
                self._thread.reader = self._connect(READ_SECONDS)
            yield self._thread.reader
        except sqlite3.Error as error:
            raise errors.unavailable(f"read from {self._path}: {error}") from error

    @contextmanager
    def _writing(self, call):
        """Run a transaction that holds the one lock for writers from its beginning. What fails
        before COMMIT is not applied."""
        connection = self._writer
        self._begin(call)
        try:
            if call.over():
                raise errors.unavailable("the call has ended", not_applied=True)
            yield connection
        except BaseException as error:
            if connection.in_transaction:  # SQLite ends it by itself after some errors
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise errors.unavailable(f"write to {self._path}: {error}", not_applied=True) from error
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            # A COMMIT that leaves the transaction open has not happened. Of any other nobody knows.
            not_applied = connection.in_transaction
            if not_applied:
                connection.execute("ROLLBACK")
            raise errors.unavailable(f"commit to {self._path}: {error}", not_applied=not_applied) from error

    def _begin(self, call):
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.Error as error:
                if not _busy(error) or call.over():
                    raise errors.unavailable(f"write to {self._path}: {error}", not_applied=True) from error


def _apply(connection, ops):
    for op in ops:
        if op.kind == pb.OP_KIND_PUT:
            _put(connection, op.key.encode(), op.value)
        else:
            connection.execute("DELETE FROM items WHERE key = ?", (op.key.encode(),))


def _put(connection, key, value):
    """Replace the row of key by a new one and return its number."""
    return connection.execute("INSERT OR REPLACE INTO items (key, value) VALUES (?, ?)", (key, value)).lastrowid


def _version(number):
    return str(number).encode()


def _past(after):
    """Return the least that a key can begin with, below the prefix, if its name comes after the
    name after. What follows a slash makes no difference: a name has one at its end at most."""
    name, slash, _ = after.partition(b"/")
    if slash:
        return name + b"0"  # "0" is what comes after "/"
    return name and name + b"\x00"


def _busy(error):
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
