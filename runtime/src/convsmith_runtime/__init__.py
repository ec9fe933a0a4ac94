"""convsmith-runtime: predict from and serve a bundle, with NumPy, Pillow and ONNX Runtime alone."""

__version__ = "0.1.0"
