"""The HTTP side of serving: guards, errors, responses, and a router for each kind of question."""
