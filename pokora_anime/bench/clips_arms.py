"""What the clips bench compares beside the chaining strategies, which are under the keyframe's maps."""

from __future__ import annotations

OFF, DRAFTED = "control_off", "control_draft"
CONTROLS = {OFF: ("control=none",), DRAFTED: ("control=pose_depth", "control.source=draft")}
