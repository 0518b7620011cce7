"""Parameters and bodies of requests, with their bounds. Unknown ones are refused."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from twinvec.serving.answering import MOST, Question
from twinvec.serving.rules import Condition, Rules, parse_boosts
from twinvec.vectors.index import Filters

LONGEST = 2000
# Query strings that are not validated again, and the longest of them.
KEPT, KEPT_LENGTH = 10_000, 200
NUL_FREE = r"^[^\x00]*$"


def _is_text(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a surrogate pair, which is no text") from error
    return value


Text = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_is_text)]
Name = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_is_text)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
CONDITION_HELP = "`field:value`, `field!=value`, `field>=number` or `field<=number`"
ConditionText = Annotated[Name, Field(pattern=r"^\w+(:|!=|>=|<=)")]


class RelatedParameters(BaseModel):
    """Parameters of a question, beside the product."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=MOST, description="Number of products.")
    category: list[Name] = Field(
        [], max_length=100, description="Any of these, at any level.", examples=[["Jazz"]]
    )
    marketplace: list[Name] = Field(
        [],
        max_length=100,
        description="Any of these; `*` for all. If not given, that of the product.",
        examples=[["us"]],
    )
    currency: list[Name] = Field(
        [],
        max_length=20,
        description="Any of these. A price is compared in one currency: that of the product, if not given.",
        examples=[["EUR"]],
    )
    min_price: Price | None = Field(None, description="Least price; leaves out products without one.")
    max_price: Price | None = Field(None, description="Highest price; leaves out products without one.")
    exclude: list[Name] = Field([], max_length=MOST, description="Ids that are not shown.")
    min_score: Finite | None = Field(None, description="Least score of a hit.")
    where: list[ConditionText] = Field(
        [],
        max_length=20,
        description=f"Conditions that every hit meets: {CONDITION_HELP}.",
        examples=[["in_stock:true"]],
    )
    boost: list[ConditionText] = Field(
        [],
        max_length=20,
        description=f"Conditions that lift a product: {CONDITION_HELP}, and a weight, `brand:Acme*0.3`.",
        examples=[["brand:Acme*0.3"]],
    )
    bury: list[ConditionText] = Field(
        [], max_length=20, description="Conditions that lower a product, as `boost`."
    )
    pin: list[Name] = Field([], max_length=100, description="Ids that come first, in this order.")
    max_per_brand: int | None = Field(None, ge=1, le=MOST, description="Most hits of one brand.")
    max_per_category: int | None = Field(None, ge=1, le=MOST, description="Most hits of one leaf category.")
    diversity: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Weight of unlikeness to the hits before (maximal marginal relevance).",
    )
    fallback: bool | None = Field(
        None, description="Whether popular products stand in if the product is unknown; the answer says so."
    )
    explain: bool = Field(
        False,
        description="Whether to tell what each kind of evidence added to the score of a hit from the list.",
    )
    fields: list[Name] = Field(
        [], max_length=50, description="Fields or attributes that each hit carries.", examples=[["in_stock"]]
    )
    release: Name | None = Field(
        None, description="Release to ask in place of the live one, as `v7`.", examples=["v7"]
    )

    def question(self) -> Question:
        """Return the question.

        Raises:
            UnusableProductError: If a condition says nothing.
        """
        rules = Rules(
            exclude=tuple(self.exclude),
            min_score=self.min_score,
            where=tuple(map(Condition.parse, self.where)),
            boost=parse_boosts(self.boost, self.bury),
            pin=tuple(self.pin),
            max_per_brand=self.max_per_brand,
            max_per_category=self.max_per_category,
            diversity=self.diversity or 0.0,
            fallback=bool(self.fallback),
        )
        scalars = ("min_score", "max_per_brand", "max_per_category", "diversity", "fallback")
        return Question(
            self.k,
            Filters(
                tuple(self.category),
                tuple(self.marketplace),
                self.min_price,
                self.max_price,
                tuple(self.currency),
            ),
            rules,
            tuple(name for name in scalars if getattr(self, name) is not None),
            self.release,
            self.explain,
            tuple(self.fields),
        )


class Questions:
    """Questions by their query strings, as they were validated. A long string is not kept."""

    def __init__(self) -> None:
        self._known = {b"": RelatedParameters().question()}

    def find(self, query: bytes) -> Question | None:
        """Return the question of a query string, or None if it was not kept."""
        return self._known.get(query)

    def keep(self, query: bytes, question: Question) -> None:
        """Keep the question of a query string."""
        if len(query) > KEPT_LENGTH:
            return
        if len(self._known) >= KEPT:
            self._known = {b"": self._known[b""]}
        self._known[query] = question


def decode_base64(text: object) -> object:
    """Return the bytes of a base64 text, which may be wrapped in lines or be a `data:` URL.

    Raises:
        ValueError: If it is not base64, or not all of it.
    """
    if not isinstance(text, str | bytes):
        return text
    written = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    written = re.sub(r"\s+", "", re.sub(r"^data:[^,]*;base64,", "", written))
    try:
        return base64.b64decode(
            written, altchars=b"-_" if re.search("[-_]", written) else None, validate=True
        )
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64: give the bytes of an image file in base64") from error


ImageBytes = Annotated[
    bytes, BeforeValidator(decode_base64), WithJsonSchema({"type": "string", "format": "base64"})
]


def _one_is_enough(schema: dict[str, Any]) -> None:
    names = ("title", "category", "image")
    schema["anyOf"] = [{"required": [name]} for name in names]


class NewProductBody(BaseModel):
    """A product that is not in the catalogue; one of the three is enough."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_one_is_enough,
    )

    title: Text = Field(
        "", description="Title in any language that the encoder reads.", examples=["Blue Train"]
    )
    category: Text = Field(
        "", description="Its path, `Music > Jazz`, or the name of the leaf alone.", examples=["Music > Jazz"]
    )
    image: ImageBytes = Field(b"", description="An image file in base64.")


class ManyBody(RelatedParameters):
    """Some products, and the parameters of a question about each or all of them."""

    ids: list[Name] = Field(
        min_length=1, max_length=MOST, description="Ids of products.", examples=[["5555991584"]]
    )


class SellerParameters(BaseModel):
    """Parameters of a question about a seller."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=MOST, description="Number of products.")
    version: Annotated[str, Field(pattern=r"^sellers(@v\d{1,9})?$")] | None = Field(
        None, description="Version to search exactly; if not given, the live release."
    )
    exclude: list[Name] = Field([], max_length=MOST, description="Ids that are not shown.")
    min_score: Finite | None = Field(None, description="Least score of a hit.")
    where: list[ConditionText] = Field(
        [], max_length=20, description=f"Conditions that every hit meets: {CONDITION_HELP}."
    )
    max_per_brand: int | None = Field(None, ge=1, le=MOST, description="Most hits of one brand.")
    max_per_category: int | None = Field(None, ge=1, le=MOST, description="Most hits of one leaf category.")

    def question(self) -> Question:
        """Return the question."""
        rules = Rules(
            exclude=tuple(self.exclude),
            min_score=self.min_score,
            where=tuple(map(Condition.parse, self.where)),
            max_per_brand=self.max_per_brand,
            max_per_category=self.max_per_category,
        )
        return Question(self.k, rules=rules)
