import pytest

from pipelines.image.addresses import Address, AddressError, resolve


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("a.png", Address("/shop/a.png", None)),
        ("sub/a.png", Address("/shop/sub/a.png", None)),
        ("/elsewhere/a.png", Address("/elsewhere/a.png", None)),
        ("file:///elsewhere/a.png", Address("file:///elsewhere/a.png", None)),
        ("zip://a.png::one.zip", Address("a.png", "zip://::/shop/one.zip")),
        ("zip://in/a.png::/elsewhere/one.zip", Address("in/a.png", "zip://::/elsewhere/one.zip")),
        (
            "zip://a.png::tar://one.zip::all.tar",
            Address("a.png", "zip://::tar://one.zip::/shop/all.tar"),
        ),
    ],
)
def test_a_local_image_starts_at_the_root(image: str, expected: Address) -> None:
    assert resolve(image, "/shop/", remote=False) == expected


@pytest.mark.parametrize(
    "image",
    [
        "http://shop.example/a.png",
        "HTTPS://shop.example/a.png",
        "s3://bucket/a.png",
        "zip://a.png::https://shop.example/one.zip",
        "simplecache::https://shop.example/a.png",
    ],
)
def test_a_remote_image_needs_leave(image: str) -> None:
    with pytest.raises(AddressError, match=r"image\.remote is off"):
        resolve(image, "/shop", remote=False)
    address = resolve(image, "/shop", remote=True)
    assert (address.archive or address.path).endswith(image.rpartition("::")[2])


def test_a_remote_root_makes_relative_paths_remote() -> None:
    with pytest.raises(AddressError, match=r"image\.remote is off"):
        resolve("a.png", "s3://bucket/images", remote=False)
    assert resolve("a.png", "s3://bucket/images", remote=True).path == "s3://bucket/images/a.png"


def test_a_relative_path_needs_a_root() -> None:
    with pytest.raises(AddressError, match="relative"):
        resolve("zip://a.png::one.zip", None, remote=True)
