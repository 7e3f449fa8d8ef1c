"""The workshop: styles and characters made from free drawings, judged before they are registered."""
