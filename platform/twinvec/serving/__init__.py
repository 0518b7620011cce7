"""Answering queries from the live release, with nothing but the index at hand."""
