"""`python -m chaos.streamer CALL POINT`: the real streamer, which dies at a point by kill -9."""

import sys

from chaos import points
from streamer.__main__ import main

if __name__ == "__main__":
    points.arm(points.point_named(sys.argv[2]), int(sys.argv[1]))
    sys.exit(main([]))
