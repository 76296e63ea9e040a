"""In which numbers a bundle stores its weights and computes."""
