"""The program holdfast-storage-sqlite: a storage plugin of Holdfast on SQLite."""

import sys

from sqlite_plugin import process

sys.exit(process.main(sys.argv[1:]))
