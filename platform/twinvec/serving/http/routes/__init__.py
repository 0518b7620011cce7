"""Routers of the API, a module each; `twinvec.serving.api` puts them together."""
