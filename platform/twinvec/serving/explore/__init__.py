"""Data of the page at `/explore`: maps, products, and two releases beside each other. Nothing here is changed."""
