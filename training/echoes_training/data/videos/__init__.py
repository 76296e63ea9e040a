"""Videos to shards: which stretches are clips, their frames and sound, tar files of them."""
