"""Files that a run writes: videos, pictures and the result log."""
