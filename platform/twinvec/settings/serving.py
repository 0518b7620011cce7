"""Settings of the HTTP API. None of them changes what is made, only how it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from twinvec.settings.group import Group, Operational

Share = Annotated[float, Field(ge=0, le=1)]


class KeySettings(Group):
    """Key of a caller; only its digest is stored."""

    scope: Literal["reader", "operator"] = Field(
        "reader", description="`reader` asks for answers and sends events; `operator` reads metrics, too."
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the key, in hexadecimal digits.")


class LimitSettings(Group):
    """Limits of requests. Those of a key are counted in each process by itself."""

    rate: Operational[str | None] = Field(
        None,
        description="Number of requests of a key, as `100/second` or `5000/minute`. If not set, no limit.",
    )
    concurrency: Operational[int] = Field(
        64, ge=1, description="Number of requests of a key that are answered at once."
    )
    body: Operational[int] = Field(1 << 20, ge=1024, description="Largest body of a request, in bytes.")
    image: Operational[int] = Field(
        5_000_000, ge=1, description="Largest image in a request, in bytes; it comes on top of `body`."
    )
    read_timeout: Operational[float] = Field(
        10.0, gt=0, description="Seconds in which the body of a request has to arrive."
    )
    shutdown_timeout: Operational[int] = Field(
        10, ge=0, description="Seconds that requests have to end, once the server is told to stop."
    )

    @field_validator("rate")
    @classmethod
    def _is_a_rate(cls, rate: str | None) -> str | None:
        if rate is not None:
            from limits import parse

            try:
                parse(rate)
            except ValueError as error:
                raise ValueError(f"{rate!r} is no rate; write it as `100/second`") from error
        return rate


class RuleSettings(Group):
    """Rules of every question, beneath those that a question gives; see `docs/serving.md` for how they are written."""

    own_marketplace: Operational[bool] = Field(
        True, description="Answer with products of the product's own marketplace, if a question names none."
    )
    fallback: Operational[bool] = Field(
        False, description="Answer with popular products if a product is unknown, and say so."
    )
    exclude: Operational[tuple[str, ...]] = Field((), description="Ids of products that are never shown.")
    min_score: Operational[float | None] = Field(None, description="Least score of a hit.")
    where: Operational[tuple[str, ...]] = Field(
        (), description="Conditions that every hit meets, such as `in_stock:true`."
    )
    boost: Operational[tuple[str, ...]] = Field(
        (), description="Conditions that lift a product, such as `brand:Acme*0.3`."
    )
    bury: Operational[tuple[str, ...]] = Field((), description="Conditions that lower a product.")
    pin: Operational[tuple[str, ...]] = Field((), description="Ids of products that come first.")
    max_per_brand: Operational[int | None] = Field(None, ge=1, description="Most hits of one brand.")
    max_per_category: Operational[int | None] = Field(
        None, ge=1, description="Most hits of one leaf category."
    )
    diversity: Operational[Share] = Field(
        0.0, description="Weight of unlikeness to the hits before (maximal marginal relevance)."
    )


class EventSettings(Group):
    """Events of visitors, which tell what they did with answers; off by default."""

    enabled: Operational[bool] = Field(False, description="Take events at `POST /events`.")
    folder: Operational[Path | None] = Field(
        None, description="Folder of their Parquet files. If not set, `events` in the home."
    )
    url: Operational[SecretStr | None] = Field(
        None,
        description="SQLAlchemy URL of a PostgreSQL database that keeps them in the table `twinvec_events`, such as "
        "`postgresql+psycopg://…`. If not set, files.",
    )
    queue: Operational[int] = Field(
        100_000, ge=1, description="Number of events that wait to be written; more are dropped, and counted."
    )
    seconds: Operational[float] = Field(5.0, gt=0, description="Seconds between two writes.")


class ArmSettings(Group):
    """One arm of an experiment."""

    release: str = Field(description="Release that answers, as `v7`.")
    share: float = Field(gt=0, le=1, description="Share of the visitors.")


class ExperimentSettings(Group):
    """Two or more releases at once, each for a share of the visitors; off without arms."""

    name: Operational[str] = Field(
        "ab", description="Name of the experiment; another name divides the visitors anew."
    )
    arms: Operational[dict[str, ArmSettings]] = Field(
        {}, description="Arms by name; visitors beyond the shares get the live release, and no arm."
    )

    @field_validator("arms")
    @classmethod
    def _share_at_most_all(cls, arms: dict[str, ArmSettings]) -> dict[str, ArmSettings]:
        if sum(arm.share for arm in arms.values()) > 1 + 1e-9:
            raise ValueError("the shares of the arms are more than 1 together")
        return arms


class ServingSettings(Group):
    """The HTTP API of `twinvec serve`."""

    keys: Operational[dict[str, KeySettings]] = Field(
        {}, description="Keys of callers, by name, beside those of `keys_file`."
    )
    keys_file: Operational[Path | None] = Field(
        None,
        description="JSON file of more keys, read again when it changes. If not set, `api_keys.json` in the home.",
    )
    limits: LimitSettings = Field(LimitSettings(), description="Limits of requests.")
    cors_origins: Operational[tuple[str, ...]] = Field(
        (), description="Origins whose pages may call the API from a browser, such as `https://shop.example`."
    )
    workers: Operational[int] = Field(1, ge=1, description="Number of processes that answer.")
    threads: Operational[int] = Field(1, ge=1, description="Number of threads of torch in each process.")
    warm: Operational[bool] = Field(
        True,
        description="Load encoders and lists at the start and after a promotion, not at the first request.",
    )
    max_age: Operational[int] = Field(
        60, ge=0, description="Seconds for which a caller may use an answer again without asking."
    )
    cache: Operational[int] = Field(
        64,
        ge=0,
        description="Mebibytes of answers that each process keeps as they were sent; 0 keeps none. One of another "
        "release, or of other attributes, is another answer.",
    )
    rules: RuleSettings = Field(RuleSettings(), description="Rules of every question.")
    attributes: Operational[Path | None] = Field(
        None,
        description="CSV or Parquet file with a column `product_id` and attributes that rules name, such as the "
        "stock. It is read again when it is replaced.",
    )
    link: Operational[str | None] = Field(
        None,
        description="Address of a product's page, as `https://shop.example/{marketplace}/{product_id}`.",
    )
    events: EventSettings = Field(EventSettings(), description="What visitors did with answers.")
    experiment: ExperimentSettings = Field(ExperimentSettings(), description="Several releases at once.")
    telemetry: Operational[bool] = Field(
        False,
        description="Record traces and durations for OpenTelemetry, and send them where the environment says "
        "(`OTEL_EXPORTER_OTLP_ENDPOINT`), which needs `pip install twinvec[otel]`.",
    )
    log: Operational[bool] = Field(True, description="Write a line of JSON for each request to stderr.")

    @field_validator("link")
    @classmethod
    def _can_be_filled_in(cls, link: str | None) -> str | None:
        if link is not None:
            try:
                link.format(product_id="1", marketplace="us")
            except (KeyError, IndexError, ValueError) as error:
                raise ValueError("only {product_id} and {marketplace} can be filled in") from error
        return link
