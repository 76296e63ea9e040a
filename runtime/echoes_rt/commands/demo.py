"""The page in a browser."""

from __future__ import annotations

import webbrowser

import click

from echoes_rt.commands.terminal import say
from echoes_rt.commands.verb import bundle_option


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes any free port.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on; 0.0.0.0 lets other machines in.",
)
@bundle_option
@click.option("--open", "is_opening", is_flag=True, help="Open the page in the browser.")
def demo(port: int, host: str, bundle: str | None, is_opening: bool) -> None:
    """Serve a page that runs the model in the browser.

    Drop a picture, hear its sound; drop a sound, see a picture. Everything is computed in the
    browser; nothing is sent anywhere. Ctrl-C ends it.

    Example: echoes-rt demo --open
    """
    from echoes_rt.bundle import find_bundle
    from echoes_rt.demo_server import DemoServer

    with DemoServer(find_bundle(bundle), host, port) as server:
        say(server.url)
        say("Ctrl-C ends it", err=True)
        if is_opening:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended", err=True)
