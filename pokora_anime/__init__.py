"""Contest-compliant anime video generation: text to keyframe to chained AnimateDiff segments."""

__version__ = "0.7.0"
