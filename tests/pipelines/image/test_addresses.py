from pathlib import Path

import pytest

from pipelines.image.addresses import Address, AddressError, resolve


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("a.png", Address("/shop/a.png", None, None, Path("/shop/a.png"))),
        ("sub/a.png", Address("/shop/sub/a.png", None, None, Path("/shop/sub/a.png"))),
        ("sub/../a.png", Address("/shop/a.png", None, None, Path("/shop/a.png"))),
        ("/elsewhere/a.png", Address("/elsewhere/a.png", None, None, Path("/elsewhere/a.png"))),
        ("file:///elsewhere/a.png", Address("/elsewhere/a.png", None, None, Path("/elsewhere/a.png"))),
        ("zip://a.png::one.zip", Address("a.png", "zip://::/shop/one.zip", None, Path("/shop/one.zip"))),
        (
            "zip://in/a.png::/elsewhere/one.zip",
            Address("in/a.png", "zip://::/elsewhere/one.zip", None, Path("/elsewhere/one.zip")),
        ),
        (
            "zip://a.png::tar://one.zip::all.tar",
            Address("a.png", "zip://::tar://one.zip::/shop/all.tar", None, Path("/shop/all.tar")),
        ),
    ],
)
def test_a_local_image_starts_at_the_root(image: str, expected: Address) -> None:
    assert resolve(image, "/shop/", remote=False, folders=[Path("/elsewhere")]) == expected


@pytest.mark.parametrize(
    "image",
    [
        "http://shop.example/a.png",
        "HTTPS://shop.example/a.png",
        "s3://bucket/a.png",
        "zip://a.png::https://shop.example/one.zip",
    ],
)
def test_a_remote_image_needs_leave(image: str) -> None:
    with pytest.raises(AddressError, match=r"image\.remote is off"):
        resolve(image, "/shop", remote=False)
    address = resolve(image, "/shop", remote=True)
    assert (address.archive or address.path).endswith(image.rpartition("::")[2])
    assert address.server in ("http://shop.example", "https://shop.example", "s3://bucket")


def test_a_remote_root_makes_relative_paths_remote() -> None:
    with pytest.raises(AddressError, match=r"image\.remote is off"):
        resolve("a.png", "s3://bucket/images", remote=False)
    assert resolve("a.png", "s3://bucket/images", remote=True).path == "s3://bucket/images/a.png"


def test_a_relative_path_needs_a_root() -> None:
    with pytest.raises(AddressError, match="relative"):
        resolve("zip://a.png::one.zip", None, remote=True)


@pytest.mark.parametrize(
    "image", ["simplecache::https://shop.example/a.png", "zip://a.png::filecache::s3://b/c"]
)
def test_only_archives_hold_images(image: str) -> None:
    with pytest.raises(AddressError, match="not within tar or zip"):
        resolve(image, "/shop", remote=True)


@pytest.mark.parametrize(
    "image",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "local:///etc/passwd",
        "../secret.png",
        "sub/../../secret.png",
        "/shop/../etc/passwd",
        "zip://a.png::/etc/one.zip",
        "/shopping/a.png",
        "link/secret.png",
    ],
)
@pytest.mark.parametrize("root", ["/shop", None])
def test_a_file_outside_the_catalogue_is_not_opened(image: str, root: str | None, tmp_path: Path) -> None:
    if image.startswith("link"):
        (tmp_path / "link").symlink_to("/etc")
        root = str(tmp_path)
    with pytest.raises(AddressError, match=r"outside the folder of the catalogue|relative"):
        resolve(image, root, remote=True)


@pytest.mark.parametrize(
    "scheme", ["sftp", "smb", "ssh", "webhdfs", "github", "git", "dask", "reference", "memory"]
)
def test_only_some_servers_are_asked(scheme: str) -> None:
    with pytest.raises(AddressError, match=f"of the scheme {scheme}, and those that are read are abfs, "):
        resolve(f"{scheme}://shop.example/a.png", "/shop", remote=True)
