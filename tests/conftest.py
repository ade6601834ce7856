"""What holds for every test."""

import signal

# A shell that starts us in the background has SIGINT ignored, and children inherit that: then no test could interrupt
# them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
