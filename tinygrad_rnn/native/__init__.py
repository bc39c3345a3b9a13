"""What is compiled when the package is installed, if there is a C compiler, and runs loops of NumPy without Python."""
