"""The drawn scene: synthetic frames from above, with the exact boxes of everything in them.

`scene.Scene` draws frames and gives their ground truth; it stands on `world` (where each figure is
in frame n), `layout` (roads, ways and things), `shapes` (classes and outlines), and on `ground`,
`props` and `paint`, which draw. Nothing here imports another package of `actors`.
"""
