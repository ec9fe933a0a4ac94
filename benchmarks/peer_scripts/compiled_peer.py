"""PyTorch and torchvision without a framework, the network compiled; see plain.py.

https://docs.pytorch.org/tutorials/intermediate/torch_compile_tutorial.html. The steps of the
warm-up are those that compile.
"""

from plain import main

if __name__ == "__main__":
    main(compiled=True)
