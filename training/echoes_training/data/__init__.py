"""Media to training examples: preparing an index, reading pictures and sounds, caching codes."""
