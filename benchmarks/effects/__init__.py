"""Effects: whether what moves a clip is seen in it."""
