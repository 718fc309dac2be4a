"""What the program says of itself."""

import platform

NAME = "sqlite"
VERSION = "0.1.0"
PROTOCOL = 1
SERVICES = (
    "holdfast.storage.v1.Plugin",
    "holdfast.storage.v1.Backend",
    "holdfast.storage.v1.HABackend",
)


def sdk():
    return "Python " + platform.python_version()
