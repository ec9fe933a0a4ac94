"""``convsmith serve`` and ``convsmith-runtime serve``: one command, thin as both are."""

import ipaddress
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import click

from convsmith_runtime.errors import BundleError
from convsmith_runtime.http.limits import Limits
from convsmith_runtime.words import printable

if TYPE_CHECKING:
    from convsmith_runtime.bundle import Bundle

__all__ = ["command"]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SHORTEST_KEY = 16
DEFAULT = Limits()
POSITIVE = click.IntRange(min=1)
LARGEST_BATCH, MOST_THREADS, LONGEST = 65_536, 1024, 3600.0


class Number(click.FloatRange):
    """A number in a range, which NaN is not. Final."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        found: float = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is no number", param, ctx)
        return found


class Mistake(click.ClickException):
    """What the person at the keyboard can mend."""

    exit_code = 2


@click.command("serve")
@click.argument("bundle")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option(
    "--key",
    envvar="CONVSMITH_API_KEY",
    help="What requests must know. Better in the environment: CONVSMITH_API_KEY.",
)
@click.option("--let-anyone-in", is_flag=True, help="Ask for no key, wherever it listens.")
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="A name it is reached by, as by a proxy."
)
@click.option(
    "--batch",
    type=click.IntRange(1, LARGEST_BATCH),
    default=32,
    show_default=True,
    help="Images at once.",
)
@click.option(
    "--wait-ms",
    type=Number(0, 1000),
    default=2.0,
    show_default=True,
    help="How long an image waits for others that are being read.",
)
@click.option(
    "--queue",
    type=POSITIVE,
    default=DEFAULT.queue,
    show_default=True,
    help="Images that may wait; then 429.",
)
@click.option(
    "--deadline",
    type=Number(0.001, LONGEST),
    default=DEFAULT.deadline,
    show_default=True,
    help="Seconds for an answer.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    help="Of the network, and as many readers.  [the cores]",
)
@click.option(
    "--max-body",
    type=POSITIVE,
    default=DEFAULT.body_bytes // 2**20,
    show_default=True,
    help="MiB of a request.",
)
@click.option(
    "--max-pixels",
    type=Number(0, 64, min_open=True),
    default=DEFAULT.pixels / 1e6,
    show_default=True,
    help="Millions in one image.",
)
@click.option(
    "--max-images",
    type=POSITIVE,
    default=DEFAULT.images,
    show_default=True,
    help="Images in one request.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as a line of JSON.")
def command(
    bundle: str,
    host: str,
    port: int,
    key: str | None,
    let_anyone_in: bool,
    allow_host: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Serve BUNDLE: a page at /, POST /v1/predict, /metrics; Ctrl-C stops.

    It listens to this machine alone unless --host says otherwise, and then asks for a key.
    """
    local = is_loopback(host)
    require_key(host, key, allowed=local or let_anyone_in)
    hosts = names(host, allow_host, local=local)
    try:
        serve(bundle, host, port, key=key, hosts=hosts, as_json=as_json, **given)
    except BundleError as error:
        raise Mistake(str(error)) from error
    except ImportError as error:
        ours = click.get_current_context().find_root().info_name == "convsmith"
        extra = "convsmith[serve]" if ours else "convsmith-runtime[http]"
        raise Mistake(f'{error.name} is not installed: pip install "{extra}"') from error


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_key(host: str, key: str | None, *, allowed: bool) -> None:
    """Raise Mistake if others could come in without a key, or with one that is soon guessed."""
    if key is not None and (len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable()):
        raise Mistake(f"a key has at least {SHORTEST_KEY} characters, all of them ASCII")
    if key is None and not allowed:
        raise Mistake(
            f"others reach {host}: set a key, such as CONVSMITH_API_KEY={token_hex(16)}, "
            "or say --let-anyone-in"
        )


def names(host: str, allowed: Sequence[str], *, local: bool) -> tuple[str, ...] | None:
    """Return the names by which requests may call the server; None allows any."""
    if not local and not allowed:
        return None
    return (*LOOPBACK_NAMES, host, *allowed)


def serve(
    bundle: str,
    host: str,
    port: int,
    *,
    key: str | None,
    hosts: Sequence[str] | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Load a bundle and serve it until a signal; what is heavy is imported here.

    Raises:
        BundleError: it cannot be opened, or no longer says what it said when it was made.
        Mistake: the port is taken, or there is no such host.
    """
    from convsmith_runtime.bundle import open_bundle
    from convsmith_runtime.http.app import create_app
    from convsmith_runtime.http.server import address, listen, run
    from convsmith_runtime.http.warm_up import warm_up
    from convsmith_runtime.predict import Predictor

    threads = given["threads"] or cores()
    predictor = Predictor(open_bundle(bundle), threads)
    warm_up(predictor, given["batch"])
    limits = limits_of(given)
    batch, wait = given["batch"], given["wait_ms"] / 1000
    try:
        bound = listen(host, port)
    except OSError as error:
        reason = error.strerror or error
        raise Mistake(f"cannot listen on {host}, port {port}: {reason}; --port 0 is any") from error
    app = create_app(
        predictor, limits=limits, batch=batch, wait=wait, threads=threads, key=key, hosts=hosts
    )
    started = partial(say_started, predictor.bundle, address(host, bound), as_json)
    run(app, bound, limits.upload_seconds + limits.deadline, started)
    print("stopped", file=sys.stderr)


def limits_of(given: Mapping[str, Any]) -> Limits:
    """Return the limits that the options say, in bytes and pixels."""
    return Limits(
        body_bytes=given["max_body"] * 2**20,
        pixels=int(given["max_pixels"] * 1e6),
        images=given["max_images"],
        queue=given["queue"],
        deadline=given["deadline"],
    )


def say_started(bundle: "Bundle", address: str, as_json: bool) -> None:
    """Print the address, for a person or as JSON, and what is served there."""
    classes = len(bundle.classes)
    if as_json:
        about = {"address": address, "name": bundle.name, "classes": classes}
        print(json.dumps(about), flush=True)
    else:
        print(f"serving {printable(bundle.name)}, {classes} classes: {address}", flush=True)
        print("Ctrl-C stops", file=sys.stderr, flush=True)


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
