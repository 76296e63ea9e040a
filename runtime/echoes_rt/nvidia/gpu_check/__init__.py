"""What an owner of a GPU runs and sends back: ``python -m echoes_rt.nvidia.gpu_check``."""
