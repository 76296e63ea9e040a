"""The decoding loop: fills in masked tokens, keeps the rest."""
