#!/bin/sh
# She stands, and from generated frame 12 on she waves. What both stops name stays as it is.
she='1girl, blue hair, ponytail, green eyes, hoodie, city'
exec pokora video shot.prompt="0: $she, standing, 12: $she, waving" shot.seconds=4 "$@"
