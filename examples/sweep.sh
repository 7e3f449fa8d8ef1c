#!/bin/sh
# Each prompt of prompts.txt as a short clip, and all of them on one sheet.
# Two seeds for each: sh examples/sweep.sh seed=1,2
exec pokora video --prompt-file "$(dirname "$0")/prompts.txt" experiment=preview "$@"
