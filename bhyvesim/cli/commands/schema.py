"""schema: the JSON Schemas of the files that bhyvesim reads."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import bhyvesim

SCHEMAS = Path(bhyvesim.__file__).parent / "config" / "schemas"


@click.command()
@click.argument("kind", type=click.Choice(("vm", "scenario", "output")))
def schema(kind: str) -> None:
    """Print the JSON Schema (draft 7) of VM descriptions, scenarios, or of JSON output.

    Editors with a YAML language server check a file that begins with the comment
    "yaml-language-server: $schema=FILE".
    """
    sys.stdout.write((SCHEMAS / f"{kind}.schema.json").read_text(encoding="utf-8"))
