"""The directed product graph: edges, their direction, the filter on category association, splits."""
