"""Tiles, letterboxing, model heads, merging and drawing: pixels and boxes, no processes."""
