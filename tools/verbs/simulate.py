"""`quantrac simulate run` and `simulate scenarios`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Json, simulate


@simulate.command("run")
@speak
def simulate_run(
    scenario: Annotated[str, typer.Argument(help="A name of `simulate scenarios`, or a TOML file.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same run.")] = 1,
    virtual: Annotated[
        bool, typer.Option("--virtual/--real", help="Jump over the time in which nothing happens.")
    ] = True,
    dir: Annotated[
        Path | None, typer.Option(help="An empty folder; default: scenario-NAME-SEED, here.")
    ] = None,
    json: Json = False,
) -> None:
    """A whole scenario with the gateway's real code: days in minutes, then what came of it.

    Example: quantrac simulate run province-away --seed 7
    """
    from tools.scenario.say import run_scenario

    raise typer.Exit(run_scenario(scenario, seed, virtual, dir, json))


@simulate.command("scenarios")
@speak
def simulate_scenarios(json: Json = False) -> None:
    """The scenarios there are, and what must come out of each.

    Example: quantrac simulate scenarios
    """
    from tools.scenario.say import print_scenarios

    raise typer.Exit(print_scenarios(json))
