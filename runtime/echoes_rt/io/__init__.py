"""Pictures, sounds and videos, read and written."""
