"""Sources of frames: video files, images, cameras, network streams and the drawn scene."""
