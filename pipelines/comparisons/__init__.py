"""Tables of comparison: models, baselines, encoders and graphs side by side on the same data (MERLIN 4.2, WAML 3).

A table is one `Comparison`, declared in a module of its own and registered under the entry-point group
`twinvec.comparisons`. `runner.run` runs any of them.
"""
