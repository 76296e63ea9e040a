"""The commands of ``echoes-rt``, one file for each kind."""
