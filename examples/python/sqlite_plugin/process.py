"""The process: how a host starts it, talks to it and ends it; and how a person finds out what
it is. docs/protocol.md, "Starting", is the contract."""

import asyncio
import datetime
import json
import os
import signal
import sys

import grpc

from sqlite_plugin import about, options
from sqlite_plugin.service import Service

COOKIE = ("HOLDFAST_PLUGIN", "holdfast-storage-plugin")
MAX_REQUEST_BYTES = 8 << 20
MAX_ANSWER_BYTES = 64 << 20
LEVELS = ("trace", "debug", "info", "warn", "error")

USAGE = f"""This program is a storage plugin of Holdfast, for storage of type "{about.NAME}".
It is not run by hand: put it into the plugin_directory of a Holdfast server and
write storage "{about.NAME}" {{ path = "/var/lib/holdfast/data.db" }} in its configuration.

By hand it takes these commands:

  describe   print what it offers and its options, as JSON
  version    print its version
"""


def main(arguments):
    """Return the exit code. Under a host the arguments mean nothing."""
    if os.environ.get(COOKIE[0]) == COOKIE[1]:
        return asyncio.run(_serve())
    if arguments == ["describe"]:
        print(_describe())
        return 0
    if arguments == ["version"]:
        print(f"holdfast-storage-{about.NAME} {about.VERSION} ({about.sdk()}, protocol {about.PROTOCOL})")
        return 0
    print(USAGE, file=sys.stderr)
    return 1


def _describe():
    described = [
        {
            "name": option.name,
            "type": option.type,
            "default": option.default_value,
            "description": option.description,
            "required": option.required,
            "secret": option.secret,
        }
        for option in options.OPTIONS
    ]
    return json.dumps(
        {
            "name": about.NAME,
            "version": about.VERSION,
            "sdk": about.sdk(),
            "protocol": about.PROTOCOL,
            "services": about.SERVICES,
            "options": described,
        },
        indent=2,
    )


async def _serve():
    # A signal to the host's process group comes here too, and the host needs its storage until
    # it has handed over: when to stop is for the host to say. Without a GRPCController that
    # is SIGKILL, which harms nothing: a transaction is applied whole or not at all.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    log = logger(os.environ.get("HOLDFAST_LOG_LEVEL", ""))
    host_died = watch_host(log)

    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.max_send_message_length", MAX_ANSWER_BYTES),
        )
    )
    Service(log).register(server)
    path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin.sock")
    server.add_insecure_port("unix:" + path)
    await server.start()
    # Version of go-plugin's handshake, version of the protocol, network, address, transport.
    print(f"1|{about.PROTOCOL}|unix|{path}|grpc", flush=True)
    await host_died.wait()
    log("warn", "host is dead, stopping")
    os._exit(0)  # whatever threads are doing: SQLite is used to it


def watch_host(log):
    """Return an event that is set when the host is dead: then the descriptor that it has left
    here becomes readable. A host that attaches has left none."""
    died = asyncio.Event()
    text = os.environ.get("HOLDFAST_HOST_PIDFD", "")
    if not text:
        return died
    try:
        descriptor = int(text)
        signal.pidfd_send_signal(descriptor, 0)  # to nobody; fails if it is no pidfd
    except ProcessLookupError:
        died.set()
        return died
    except (ValueError, OSError) as error:
        log("error", f"can not watch the host, and may outlive it: HOLDFAST_HOST_PIDFD is {text!r}: {error}")
        return died
    os.set_inheritable(descriptor, False)
    asyncio.get_running_loop().add_reader(descriptor, died.set)
    return died


def logger(level):
    """Return log(level, text), which writes lines on stderr as hclog does in JSON."""
    least = LEVELS.index(level) if level in LEVELS else LEVELS.index("debug")  # the host filters too

    def log(at, text):
        if LEVELS.index(at) < least:
            return
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
        line = {"@level": at, "@message": text, "@module": about.NAME, "@timestamp": now}
        try:
            os.write(2, (json.dumps(line) + "\n").encode())
        except OSError:
            pass  # nobody reads it any more: the host is dead

    return log
