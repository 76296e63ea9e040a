"""A run on a borrowed machine: a GPU for some minutes, PyTorch, no network, little that may travel.

``python -m bench.gpu_run.pack OUT`` makes on any machine what the other one lacks, in folders of a
size that can travel. There ``stage.py`` runs each stage within a number of seconds and says in one
line what became of each of its commands; nothing that fails stops the rest. ``python -m
bench.gpu_run.rehearse WORK`` does all of it here, on the CPU if there is no GPU.

Here, with wheels for one architecture (``--sm 90``) and, with ``--data``, a folder with the media
of an index.jsonl::

    python -m bench.gpu_run.pack OUT --limits 64

There, ``-`` in place of a folder that has not come; results are in HOME/out::

    python OUT/1/stage.py 1 240 OUT/1 HOME            # the machine, bundles
    python HOME/stage.py 2 420 OUT/2 HOME             # gpu-check, times against PyTorch
    python HOME/stage.py 3 180 OUT/3 HOME             # trainings
"""
