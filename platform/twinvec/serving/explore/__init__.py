"""What the page at `/explore` shows: maps, products, and two releases beside each other. Nothing here is changed."""
