"""The web process and the CPU workers."""
