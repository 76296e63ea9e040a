"""What only NVIDIA's hardware and libraries need."""
