"""The registry of snapshots, versions and releases: which exist, what they were made from, which are live."""
