"""The `streamsync` command.

Problem: a dozen processes and offline tools need one front door. How: each package registers its
own commands; heavy imports happen inside them, so `--help` answers at once.
"""

from __future__ import annotations

import typer


def main() -> None:
    """Entry point of the console script."""
    from pydantic import ValidationError  # noqa: PLC0415

    from streamsync.brokers import BrokersMisconfigured  # noqa: PLC0415
    from streamsync.config import Settings, told_wrong  # noqa: PLC0415

    try:
        build()()
    except BrokersMisconfigured as error:
        typer.echo(str(error), err=True)
        raise SystemExit(2) from None
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        typer.echo(told_wrong(error), err=True)
        raise SystemExit(2) from None


def build() -> typer.Typer:
    """The command with everything registered."""
    from streamsync.demo.commands import register as demo  # noqa: PLC0415
    from streamsync.embedded.commands import register as embedded  # noqa: PLC0415
    from streamsync.erp.commands import register as erp  # noqa: PLC0415
    from streamsync.governance.commands import register as governance  # noqa: PLC0415
    from streamsync.ingress.commands import register as ingress  # noqa: PLC0415
    from streamsync.refetch.commands import register as refetch  # noqa: PLC0415
    from topology.commands import register as topology  # noqa: PLC0415

    app = typer.Typer(
        name="streamsync",
        help="Billing events in, ERP postings out, every cent accounted for.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for register in (embedded, ingress, refetch, topology, erp, governance, demo):
        register(app)
    return app
