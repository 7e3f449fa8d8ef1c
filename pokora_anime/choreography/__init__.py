"""The choreographer: words in, the poses of a whole clip out."""
