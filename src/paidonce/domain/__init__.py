"""What the service knows without any framework: money, states, errors, clocks.

Standard library only.
"""
