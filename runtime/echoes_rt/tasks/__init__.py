"""What can be asked of a loaded bundle; every task is a question to ``Model.decode_tokens``."""
