"""A run on a borrowed machine: a GPU for some minutes, PyTorch, no network, little that may travel.

``python -m bench.gpu_run.pack OUT`` makes on any machine what the other one lacks, in folders of a
size that can travel. There ``stage.py`` runs each stage within a number of seconds and says in one
line what became of each of its commands; nothing that fails stops the rest. ``python -m
bench.gpu_run.rehearse WORK`` does all of it here, on the CPU if there is no GPU.
"""
