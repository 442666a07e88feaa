"""Verbs of who may log in. See tools/cli.py."""

from __future__ import annotations

from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import By, Config, Json, PasswordFile, people


@people.command("list")
@speak
def people_list(config: Config, json: Json = False) -> None:
    """List who may log in.

    Example: quantrac gateway people list config.toml
    """
    from tools.accounts import print_people

    raise typer.Exit(print_people(config, json))


@people.command("add")
@speak
def people_add(
    config: Config,
    name: Annotated[str, typer.Argument(help="Such as lan, or tran.van.an.")],
    role: Annotated[str, typer.Option(help="viewer, operator, technician, inspector or administrator.")],
    password_file: PasswordFile = None,
    by: By = "",
    json: Json = False,
) -> None:
    """Let somebody log in. The inspector's account is made at commissioning, with the inspector beside you.

    Example: quantrac gateway people add config.toml tran.van.an --role inspector --by "Lan, Phòng TNMT"
    """
    from tools.accounts import print_add

    raise typer.Exit(print_add(config, name, role, password_file, by, json))


@people.command("role")
@speak
def people_role(
    config: Config,
    name: Annotated[str, typer.Argument(help="Who.")],
    role: Annotated[str, typer.Argument(help="The new role.")],
    by: By = "",
    json: Json = False,
) -> None:
    """Give somebody another role.

    Example: quantrac gateway people role config.toml lan technician
    """
    from tools.accounts import print_role

    raise typer.Exit(print_role(config, name, role, by, json))


@people.command("password")
@speak
def people_password(
    config: Config,
    name: Annotated[str, typer.Argument(help="Whose.")],
    password_file: PasswordFile = None,
    by: By = "",
    json: Json = False,
) -> None:
    """Give somebody another password.

    Example: quantrac gateway people password config.toml lan
    """
    from tools.accounts import print_password

    raise typer.Exit(print_password(config, name, password_file, by, json))


@people.command("remove")
@speak
def people_remove(
    config: Config,
    name: Annotated[str, typer.Argument(help="Who.")],
    by: By = "",
    json: Json = False,
) -> None:
    """Let somebody log in no more; an entry of the log says so for ever.

    Example: quantrac gateway people remove config.toml lan --by "Minh"
    """
    from tools.accounts import print_remove

    raise typer.Exit(print_remove(config, name, by, json))
