"""The vendor's rknn-toolkit2 in its own environment: `client` starts `server` and calls it."""
