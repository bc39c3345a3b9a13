"""Derived loops without the interpreter between their statements: `calls.c` calls the same loops of NumPy."""
