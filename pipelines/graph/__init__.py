"""The directed product graph: its edges, their direction, the filter on category association, the splits."""
