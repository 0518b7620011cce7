"""Settings of the machines that share work."""

from __future__ import annotations

from pydantic import Field

from twinvec.settings.group import Group, Operational


class RaySettings(Group):
    """Work on a cluster of Ray, with `engine = "ray"`. Twinvec is installed on all its machines."""

    address: Operational[str | None] = Field(
        None,
        description="Address of the cluster: `auto`, `HOST:PORT`, `ray://…`. If not set, one of this machine.",
    )
    store: Operational[str | None] = Field(
        None,
        description="Folder for files between tasks, a path or an fsspec URL such as `s3://bucket/twinvec`, that all "
        "machines reach. If not set, `.spill/ray` in the home.",
    )
    partitions: Operational[int | None] = Field(
        None,
        ge=1,
        description="Number of partitions of a log; the more, the less memory a task needs. If not set, two a core.",
    )
    memory_limit: Operational[str] = Field(
        "1GB",
        pattern=r"^\d+(\.\d+)?\s?(MB|GB|MiB|GiB)$",
        description="Memory limit of DuckDB in a task, which has one core. Beyond it, the machine's disk is used.",
    )
    retries: Operational[int] = Field(
        5, ge=0, description="How often a task is run again after its machine was lost."
    )
    encoders: Operational[int | None] = Field(
        None,
        ge=1,
        description="Number of processes that encode texts or images, each with a model, and a GPU if the cluster has "
        "any. If not set, one a GPU, or one a core.",
    )
    trainers: Operational[int] = Field(
        1,
        ge=1,
        description="Number of processes that train together, as with `torchrun`. They share the home's folder. With "
        "1, the command trains by itself.",
    )
