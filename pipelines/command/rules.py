"""Options of rules, which `twinvec related` and `twinvec sellers recommend` share."""

from __future__ import annotations

from typing import Annotated

import typer

RULES = "Rules"
Exclude = Annotated[
    list[str] | None, typer.Option(help="Id that is not shown; may be repeated.", rich_help_panel=RULES)
]
MinScore = Annotated[float | None, typer.Option(help="Least score.", rich_help_panel=RULES)]
Where = Annotated[
    list[str] | None,
    typer.Option(help="Condition, as 'brand:Acme' or 'price>=4'.", rich_help_panel=RULES),
]
MaxPerBrand = Annotated[
    int | None, typer.Option(min=1, help="Most products of one brand.", rich_help_panel=RULES)
]
MaxPerCategory = Annotated[
    int | None, typer.Option(min=1, help="Most products of one category.", rich_help_panel=RULES)
]
