"""The registry: which snapshots, versions and releases exist, what they were made from, what is live."""
