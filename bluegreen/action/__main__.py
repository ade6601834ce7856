"""`python -m bluegreen.action`, the first process of the container."""

import sys

try:
    from bluegreen.action import main

    CODE = main()
except KeyboardInterrupt:  # cancelled before anything could be begun
    CODE = 130
sys.exit(CODE)
