"""The networks: two codecs of one kind, a vocoder, a masked transformer, discriminators."""
