"""Substitutes across stores and languages: listings of a product and of its family in one space (ProductSIM)."""
