"""The drawn world: a scene in, pixels, joints, depth and captions out. Its words need no libraries."""
