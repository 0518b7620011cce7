"""Declaration of the space `sellers`: candidate products and sellers in one space (WAML), served.

One training makes both: vectors of the candidates (`seller_products`), and of the sellers that they are compared with.
"""

from __future__ import annotations

from twinvec.spaces import SELLERS, Carry, Field, Serving, Space

PRODUCTS = Space(name="seller_products", fields=("seller_products_vector",))
SPACE = Space(
    name="sellers",
    description="Blocks of WAML: vectors of sellers and of the products to recommend to them.",
    train="pipelines.sellers.pipeline:train",
    fields=("sellers_vector",),
    entity=SELLERS,
    uses=("text",),
    settings=("sellers",),
    tables=("products", "offers"),
    reason_to_skip="pipelines.sellers.pipeline:reason_to_skip",
    update=Carry("carry", "pipelines.sellers.update:carry_sellers", reads=("text",)),
    companions=(PRODUCTS,),
    serving=Serving(
        name="seller_recommendations",
        asks=Field("sellers", "sellers_vector"),
        searched=Field("seller_products", "seller_products_vector"),
        every_product=False,
        judge="pipelines.sellers.quality:compare",
        aliases=("seller_recommendations_live", "seller_recommendations_previous"),
    ),
)
