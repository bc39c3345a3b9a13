"""The source of a scheduled step: names, memory, statements, and the functions around them."""
