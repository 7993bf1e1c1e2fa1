"""Where pixels come from: video files, images, cameras, network streams and a drawn scene."""
