"""What Twinvec is measured against: how else products could be ranked, from the same training edges."""
