"""Objects that `feast apply` registers, built from all rows of Twinvec's registry."""

from twinvec.features.repository import feast_objects
from twinvec.settings import load_settings

# Feast looks for its objects among a module's attributes.
globals().update({f"{type(thing).__name__}_{thing.name}": thing for thing in feast_objects(load_settings())})
